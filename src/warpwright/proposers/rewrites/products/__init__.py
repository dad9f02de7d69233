"""Rewrites of matrix products: their arithmetic, their order of blocks, their operands."""
