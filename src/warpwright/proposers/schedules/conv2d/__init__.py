"""Schedules of conv2d: kernels, their spaces of tiles, and how programs are made of them."""
