"""Timing plans, and what samples decide: pure, no process, no clock, no GPU (docs/deciding.md)."""
