"""Cases of flash_attention.py:flash_attention: a causal language model, and an encoder."""

import torch


def causal():
    return {
        "q": torch.randn(4, 32, 2048, 128, dtype=torch.bfloat16),
        "k": torch.randn(4, 8, 2048, 128, dtype=torch.bfloat16),
        "v": torch.randn(4, 8, 2048, 128, dtype=torch.bfloat16),
        "causal": True,
    }


def encoder():
    return {
        "q": torch.randn(16, 16, 1024, 64, dtype=torch.float16),
        "k": torch.randn(16, 16, 1024, 64, dtype=torch.float16),
        "v": torch.randn(16, 16, 1024, 64, dtype=torch.float16),
    }


CASES = {causal: 3, encoder: 1}


def reference(q, k, v, causal=False, sm_scale=None):
    groups = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(groups, dim=1)
    v = v.repeat_interleave(groups, dim=1)
    if sm_scale is None:
        sm_scale = q.shape[-1] ** -0.5
    scores = q @ k.transpose(-1, -2) * sm_scale
    if causal:
        length = q.shape[2]
        seen = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v
