"""Cases of norms/layer_norm.py:LayerNorm and LayerNorm.backward."""

import torch


def language_model():
    return [
        torch.randn(8192, 2048, dtype=torch.float16),
        torch.rand(2048, dtype=torch.float16) + 0.5,
        torch.randn(2048, dtype=torch.float16),
    ]


def vision():
    return [
        torch.randn(64, 197, 768, dtype=torch.float32),
        torch.rand(768, dtype=torch.float32) + 0.5,
        torch.randn(768, dtype=torch.float32),
    ]


CASES = {language_model: 2, vision: 1}


def reference(x, weight, bias, eps=1e-5):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps)
