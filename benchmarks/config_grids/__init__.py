"""Kernels whose full grids of configs are timed, so that searches can be replayed without a GPU."""
