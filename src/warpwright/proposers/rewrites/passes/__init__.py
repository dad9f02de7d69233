"""Loops over one row of memory that can be one loop."""
