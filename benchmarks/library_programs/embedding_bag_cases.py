"""Cases of embedding_bag.py:embedding_bag: features of a recommender, 32 indices a bag."""

import torch


def summed():
    return {
        "weight": torch.randn(1000000, 128, dtype=torch.float16),
        "indices": torch.randint(0, 1000000, (524288,)),
        "offsets": torch.arange(0, 524288, 32),
    }


def weighted_mean():
    return {
        "weight": torch.randn(100000, 64, dtype=torch.float32),
        "indices": torch.randint(0, 100000, (131072,)),
        "offsets": torch.arange(0, 131072, 16),
        "mode": "mean",
        "per_sample_weights": torch.rand(131072, dtype=torch.float32),
    }


CASES = {summed: 3, weighted_mean: 1}


def reference(weight, indices, offsets, mode="sum", per_sample_weights=None):
    total = indices.numel()
    places = torch.arange(total, device=weight.device)
    bag_of = torch.searchsorted(offsets, places, right=True) - 1
    rows = weight[indices]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[:, None]
    out = torch.zeros(offsets.numel(), weight.shape[1], dtype=rows.dtype, device=weight.device)
    # Sums in float32 or wider, as the kernel does.
    wide = torch.promote_types(rows.dtype, torch.float32)
    out = out.to(wide).index_add(0, bag_of, rows.to(wide))
    if mode == "mean":
        count = torch.bincount(bag_of, minlength=offsets.numel()).clamp(min=1)
        out = out / count[:, None]
    return out.to(weight.dtype)
