"""Processes on a device: workers, which run programs, and the reference process."""
