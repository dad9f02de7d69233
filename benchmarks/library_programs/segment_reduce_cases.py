"""Cases of segment_reduce.py:segment_reduce: messages to the nodes of a graph, and sets."""

import torch


def messages():
    return {
        "x": torch.randn(1048576, 128, dtype=torch.float16),
        "indptr": torch.arange(0, 1048577, 16),
    }


def largest():
    return {
        "x": torch.randn(262144, 64, dtype=torch.float32),
        "indptr": torch.arange(0, 262145, 64),
        "reduce": "max",
    }


CASES = {messages: 2, largest: 1}


def reference(x, indptr, reduce="sum"):
    segments = indptr.numel() - 1
    places = torch.arange(x.shape[0], device=x.device)
    segment_of = torch.searchsorted(indptr, places, right=True) - 1
    index = segment_of[:, None].expand(-1, x.shape[1])
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    out = torch.zeros(segments, x.shape[1], dtype=wide.dtype, device=x.device)
    if reduce == "max":
        out = out.scatter_reduce(0, index, wide, "amax", include_self=False)
    else:
        out = out.scatter_add(0, index, wide)
        if reduce == "mean":
            out = out / (indptr[1:] - indptr[:-1]).clamp(min=1)[:, None]
    return out.to(x.dtype)
