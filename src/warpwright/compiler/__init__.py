"""Kernels compiled for a target that need not be there, and what the binaries say."""
