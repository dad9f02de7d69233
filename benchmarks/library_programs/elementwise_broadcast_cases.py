"""Cases of elementwise_broadcast.py:mul_gelu: one factor for each channel, and equal shapes."""

import torch


def channels():
    return {
        "x": torch.randn(32, 256, 56, 56, dtype=torch.float16),
        "y": torch.randn(32, 256, 1, 1, dtype=torch.float16),
        "alpha": 2.0,
    }


def equal_shapes():
    return [
        torch.randn(8192, 4096, dtype=torch.bfloat16),
        torch.randn(8192, 4096, dtype=torch.bfloat16),
    ]


CASES = {channels: 1, equal_shapes: 1}


def reference(x, y, alpha=1.0):
    return alpha * x * torch.nn.functional.gelu(y)
