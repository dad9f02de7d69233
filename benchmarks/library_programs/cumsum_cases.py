"""Cases of cumsum.py:cumsum: many rows, and a few long ones from the end."""

import torch


def rows():
    return {"x": torch.randn(16, 512, 4096, dtype=torch.float32)}


def long_rows():
    return {"x": torch.randn(64, 65536, dtype=torch.bfloat16), "reverse": True}


CASES = {rows: 2, long_rows: 1}


def reference(x, reverse=False):
    x = x.float()
    if reverse:
        return torch.flip(torch.cumsum(torch.flip(x, [-1]), dim=-1), [-1])
    return torch.cumsum(x, dim=-1)
