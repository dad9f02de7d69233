"""Cases of topk.py:topk: the experts of each token, and candidates of a beam."""

import torch


def experts():
    return {"x": torch.randn(16384, 64, dtype=torch.float32), "k": 8}


def beam():
    return {"x": torch.randn(1024, 4096, dtype=torch.float32), "k": 4}


CASES = {experts: 4, beam: 1}


def reference(x, k):
    return tuple(torch.topk(x, k, dim=-1))
