"""Cases of norms.py:add_rms_norm: the inputs that it is studied, checked and timed on."""

import torch


def prefill():
    return {
        "x": torch.randn(8192, 4096, dtype=torch.bfloat16),
        "residual": torch.randn(8192, 4096, dtype=torch.bfloat16),
        "weight": torch.rand(4096, dtype=torch.bfloat16) + 0.5,
    }


def decode():
    return {
        "x": torch.randn(64, 4096, dtype=torch.bfloat16),
        "residual": torch.randn(64, 4096, dtype=torch.bfloat16),
        "weight": torch.rand(4096, dtype=torch.bfloat16) + 0.5,
    }


# How often each occurs beside the others.
CASES = {prefill: 20, decode: 1}


def reference(x, residual, weight, eps=1e-6):
    total = x + residual
    scale = torch.rsqrt((total * total).mean(-1, keepdim=True) + eps)
    return total * scale * weight, total
