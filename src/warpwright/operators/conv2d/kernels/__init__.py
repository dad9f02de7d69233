"""Triton kernels of conv2d. The package reads these files as text; it never imports them."""
