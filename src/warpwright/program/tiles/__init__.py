"""Tiles of a kernel: which of its sizes may change, and how far."""
