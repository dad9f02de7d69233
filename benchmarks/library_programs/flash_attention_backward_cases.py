"""Cases of flash_attention_backward.py:FlashAttention.backward: training steps."""

import torch


def causal():
    return [
        torch.randn(4, 16, 2048, 64, dtype=torch.float16),
        torch.randn(4, 16, 2048, 64, dtype=torch.float16),
        torch.randn(4, 16, 2048, 64, dtype=torch.float16),
        True,
        0.125,
    ]


def full():
    return [
        torch.randn(8, 12, 512, 64, dtype=torch.bfloat16),
        torch.randn(8, 12, 512, 64, dtype=torch.bfloat16),
        torch.randn(8, 12, 512, 64, dtype=torch.bfloat16),
        False,
        0.125,
    ]


CASES = {causal: 2, full: 1}


def reference(q, k, v, causal, sm_scale):
    scores = q @ k.transpose(-1, -2) * sm_scale
    if causal:
        length = q.shape[2]
        seen = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v
