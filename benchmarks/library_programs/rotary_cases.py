"""Cases of rotary.py:apply_rotary_: heads of a model with grouped keys."""

import torch


def train():
    return {
        "q": torch.randn(4, 2048, 32, 128, dtype=torch.bfloat16),
        "k": torch.randn(4, 2048, 8, 128, dtype=torch.bfloat16),
        "cos": torch.rand(2048, 64, dtype=torch.float32) * 2 - 1,
        "sin": torch.rand(2048, 64, dtype=torch.float32) * 2 - 1,
    }


def small_heads():
    return {
        "q": torch.randn(8, 1024, 12, 64, dtype=torch.float16),
        "k": torch.randn(8, 1024, 12, 64, dtype=torch.float16),
        "cos": torch.rand(1024, 32, dtype=torch.float32) * 2 - 1,
        "sin": torch.rand(1024, 32, dtype=torch.float32) * 2 - 1,
    }


CASES = {train: 4, small_heads: 1}


def reference(q, k, cos, sin):
    def rotated(x):
        first, second = x.chunk(2, dim=-1)
        c, s = cos[None, :, None, :], sin[None, :, None, :]
        return torch.cat([first * c - second * s, second * c + first * s], dim=-1).to(x.dtype)

    return [rotated(q), rotated(k), cos, sin]
