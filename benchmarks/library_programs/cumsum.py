"""Cumulative sum of the last dimension: a block goes along a row and carries the sum."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_N": 512}, num_warps=4),
        triton.Config({"BLOCK_N": 1024}, num_warps=4),
        triton.Config({"BLOCK_N": 2048}, num_warps=8),
    ],
    key=["n_cols"],
)
@triton.jit
def _cumsum_kernel(
    x_ptr, y_ptr, x_stride, y_stride, n_cols, REVERSE: tl.constexpr, BLOCK_N: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    carry = tl.zeros([1], dtype=tl.float32)
    blocks = tl.cdiv(n_cols, BLOCK_N)
    for i in range(blocks):
        block = blocks - 1 - i if REVERSE else i
        cols = block * BLOCK_N + tl.arange(0, BLOCK_N)
        mask = cols < n_cols
        x = tl.load(x_ptr + row * x_stride + cols, mask=mask, other=0.0).to(tl.float32)
        y = tl.cumsum(x, axis=0, reverse=REVERSE) + carry
        carry += tl.sum(x, axis=0)
        tl.store(y_ptr + row * y_stride + cols, y, mask=mask)


def cumsum(x: torch.Tensor, reverse: bool = False) -> torch.Tensor:
    """Sums in float32 along the last dimension, from the end if `reverse`."""
    rows = x.reshape(-1, x.shape[-1])
    y = torch.empty(rows.shape, dtype=torch.float32, device=x.device)
    _cumsum_kernel[(rows.shape[0],)](
        rows, y, rows.stride(0), y.stride(0), rows.shape[1], REVERSE=reverse
    )
    return y.view(x.shape)
