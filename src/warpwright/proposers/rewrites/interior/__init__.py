"""Blocks that touch no border, without masks."""
