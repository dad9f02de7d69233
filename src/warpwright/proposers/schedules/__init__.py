"""Schedules: whole programs for one operator, from kernels that experts wrote."""
