"""Addresses of a tile in two parts, one for its rows and one for its columns."""
