"""Rewrites: functions from source to source, each making one kind of move."""
