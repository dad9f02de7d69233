"""Cases of softmax.py:softmax: attention scores, and logits of a vocabulary."""

import torch


def scores():
    return {"x": torch.randn(8, 16, 1024, 1024, dtype=torch.float16), "scale": 0.125}


def vocabulary():
    return {"x": torch.randn(2048, 50257, dtype=torch.float32)}


CASES = {scores: 5, vocabulary: 1}


def reference(x, scale=1.0):
    return torch.softmax(x * scale, dim=-1)
