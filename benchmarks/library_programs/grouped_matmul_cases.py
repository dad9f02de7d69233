"""Cases of grouped_matmul.py:grouped_matmul: experts that got the same number of tokens."""

import torch


def eight_groups():
    return {
        "a": torch.randn(4096, 2048, dtype=torch.bfloat16),
        "b": torch.randn(8, 2048, 2816, dtype=torch.bfloat16) * 0.02,
        "group_ends": torch.tensor(
            [512, 600, 1400, 2000, 2001, 3000, 3500, 4096], dtype=torch.int32
        ),
    }


def four_groups():
    return {
        "a": torch.randn(2048, 1024, dtype=torch.float16),
        "b": torch.randn(4, 1024, 4096, dtype=torch.float16) * 0.02,
        "group_ends": torch.tensor([512, 1024, 1536, 2048], dtype=torch.int32),
    }


CASES = {eight_groups: 3, four_groups: 1}


def reference(a, b, group_ends):
    rows = torch.arange(a.shape[0], device=a.device)
    group_of = torch.searchsorted(group_ends.long(), rows, right=True)
    out = torch.zeros(a.shape[0], b.shape[2], dtype=a.dtype, device=a.device)
    for group in range(b.shape[0]):
        out = torch.where((group_of == group)[:, None], a @ b[group], out)
    return out
