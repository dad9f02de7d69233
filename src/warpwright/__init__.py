"""Warpwright makes Triton GPU kernels faster, within stated rules, and proves it."""

__version__ = "0.1.0"
