"""Cases of histogram.py:histogram: brightness of pictures, and classes."""

import torch


def brightness():
    return {"x": torch.randint(0, 256, (64, 1080, 1920), dtype=torch.uint8), "bins": 256}


def classes():
    return {"x": torch.randint(0, 1000, (4194304,), dtype=torch.int32), "bins": 1000}


CASES = {brightness: 2, classes: 1}


def reference(x, bins):
    ones = torch.ones(x.numel(), dtype=torch.int32, device=x.device)
    counts = torch.zeros(bins, dtype=torch.int32, device=x.device)
    return counts.index_add(0, x.flatten().long(), ones)
