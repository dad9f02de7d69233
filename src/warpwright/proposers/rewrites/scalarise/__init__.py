"""Quotients of a block's flat index that are one number for all its lanes."""
