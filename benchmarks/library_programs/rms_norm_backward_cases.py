"""Cases of norms/rms_norm_backward.py:RMSNorm.backward: training of a small and a large model."""

import torch


def large():
    return [
        torch.randn(2, 4096, 4096, dtype=torch.bfloat16),
        torch.rand(4096, dtype=torch.bfloat16) + 0.5,
    ]


def small():
    return [
        torch.randn(8, 1024, 768, dtype=torch.float32),
        torch.rand(768, dtype=torch.float32) + 0.5,
    ]


CASES = {large: 3, small: 1}


def reference(x, weight, eps=1e-6, offset=0.0):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (weight + offset)
