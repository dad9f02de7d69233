"""Shared by the activations."""

import triton
import triton.language as tl


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


def calculate_settings(n):
    """Block size, warps."""
    block = min(triton.next_power_of_2(n), 4096)
    return block, 8 if block >= 2048 else 4
