"""Edits of a program's text that leave all else as it was written."""
