"""Cases of rms_norm.py:rms_norm: tokens of a prefill, and of a decoding batch."""

import torch


def prefill():
    return {
        "x": torch.randn(4, 2048, 4096, dtype=torch.bfloat16),
        "weight": torch.rand(4096, dtype=torch.bfloat16) + 0.5,
    }


def decode():
    return {
        "x": torch.randn(128, 1, 4096, dtype=torch.bfloat16),
        "weight": torch.rand(4096, dtype=torch.bfloat16) + 0.5,
    }


CASES = {prefill: 20, decode: 1}


def reference(x, weight=None, eps=1e-6):
    rstd = torch.rsqrt(x.float().pow(2).mean(-1) + eps)
    y = (x * rstd.unsqueeze(-1)).to(x.dtype)
    if weight is not None:
        y = y * weight
    return y, rstd.flatten()
