"""Programs that the tests of reading, editing and comparing share."""

from __future__ import annotations

import pytest

MATMUL = '''\
import torch
import torch.nn as nn
import triton
import triton.language as tl

# Tiles that were tried by hand.
@triton.autotune(
    configs=[
        # small tiles
        triton.Config({'BM': 32, 'BN': 32, 'BK': 32}, num_warps=2, num_stages=2),
        triton.Config({'BM': 64, 'BN': 32, 'BK': 32}, num_warps=4, num_stages=2),  # tall

        # large tiles
        triton.Config({'BM': 128, 'BN': 64, 'BK': 32}, num_warps=8, num_stages=3),
    ],
    key=['rows', 'cols'],
)
@triton.jit
def product_kernel(
    left, right, out,
    rows, cols, depth,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):
    """One tile of the product."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    col = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, depth, BK):
        inner = start + tl.arange(0, BK)
        inside = inner < depth
        a = tl.load(
            left + row[:, None] * depth + inner[None, :],
            mask=(row[:, None] < rows) & inside[None, :],
            other=0.0,
        )
        b = tl.load(
            right + inner[:, None] * cols + col[None, :],
            mask=inside[:, None] & (col[None, :] < cols),
            other=0.0,
        )
        total += tl.dot(a, b)
    keep = (row[:, None] < rows) & (col[None, :] < cols)
    tl.store(out + row[:, None] * cols + col[None, :], total, mask=keep)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    rows, depth = left.shape
    cols = right.shape[1]
    out = torch.empty((rows, cols), device=left.device, dtype=left.dtype)
    grid = lambda meta: (triton.cdiv(rows, meta['BM']), triton.cdiv(cols, meta['BN']))
    product_kernel[grid](left, right, out, rows, cols, depth)
    return out


class ModelNew(nn.Module):
    def forward(self, left, right):
        return product(left, right)
'''

SCALE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scale_kernel(source, target, count, factor, BLOCK: tl.constexpr):
    place = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    tl.store(target + place, tl.load(source + place, mask=inside) * factor, mask=inside)


def scale(x, factor):
    y = torch.empty_like(x)
    count = x.numel()
    BLOCK = 1024
    grid = (triton.cdiv(count, BLOCK),)
    scale_kernel[grid](
        x,
        y,
        count,
        factor,
        BLOCK=BLOCK,
        num_warps=4,
        num_stages=2,
    )
    return y


class ModelNew(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return scale(x, self.factor)
"""


@pytest.fixture
def matmul() -> str:
    """An autotuned matrix product with comments in its config list."""
    return MATMUL


@pytest.fixture
def scale() -> str:
    """An elementwise kernel without autotune, its block size passed at the launch."""
    return SCALE
