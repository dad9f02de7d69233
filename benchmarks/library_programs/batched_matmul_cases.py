"""Cases of batched_matmul.py:bmm: scores of attention heads, and small matrices."""

import torch


def heads():
    return {
        "a": torch.randn(128, 1024, 64, dtype=torch.float16),
        "b": torch.randn(128, 1024, 64, dtype=torch.float16).transpose(1, 2),
    }


def small():
    return {
        "a": torch.randn(512, 200, 128, dtype=torch.float32),
        "b": torch.randn(512, 128, 100, dtype=torch.float32),
    }


CASES = {heads: 2, small: 1}


def reference(a, b):
    return torch.bmm(a, b)
