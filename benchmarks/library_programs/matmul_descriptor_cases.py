"""Cases of matmul_descriptor.py:matmul_descriptor: a square product, and a wide one."""

import torch


def square():
    return [
        torch.randn(4096, 4096, dtype=torch.bfloat16),
        torch.randn(4096, 4096, dtype=torch.bfloat16),
    ]


def wide():
    return [
        torch.randn(1024, 2048, dtype=torch.bfloat16),
        torch.randn(8192, 2048, dtype=torch.bfloat16),
    ]


CASES = {square: 1, wide: 1}


def reference(a, b):
    return a @ b.t()
