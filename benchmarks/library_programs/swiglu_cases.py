"""Cases of activations/swiglu.py:swiglu: the widths of two feed-forward layers."""

import torch


def wide():
    return [
        torch.randn(4, 2048, 11008, dtype=torch.bfloat16),
        torch.randn(4, 2048, 11008, dtype=torch.bfloat16),
    ]


def decode():
    return [
        torch.randn(64, 1, 14336, dtype=torch.float16),
        torch.randn(64, 1, 14336, dtype=torch.float16),
    ]


CASES = {wide: 9, decode: 1}


def reference(gate, up):
    return torch.nn.functional.silu(gate) * up
