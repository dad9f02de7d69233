"""Reduction of consecutive rows: sum, mean or maximum of each segment of a compressed row list."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_R": 8, "BLOCK_D": 64}, num_warps=2),
        triton.Config({"BLOCK_R": 16, "BLOCK_D": 64}, num_warps=4),
        triton.Config({"BLOCK_R": 16, "BLOCK_D": 128}, num_warps=4),
        triton.Config({"BLOCK_R": 32, "BLOCK_D": 64}, num_warps=4),
    ],
    key=["dim", "REDUCE"],
)
@triton.jit
def _segment_kernel(
    x_ptr,
    indptr_ptr,
    out_ptr,
    dim,
    x_stride,
    out_stride,
    REDUCE: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    segment = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    start = tl.load(indptr_ptr + segment)
    end = tl.load(indptr_ptr + segment + 1)
    neutral = -float("inf") if REDUCE == "max" else 0.0
    acc = tl.full((BLOCK_R, BLOCK_D), neutral, dtype=tl.float32)
    for first in range(start, end, BLOCK_R):
        rows = first + tl.arange(0, BLOCK_R)
        mask = (rows[:, None] < end) & (cols[None, :] < dim)
        offsets = rows[:, None].to(tl.int64) * x_stride + cols[None, :]
        x = tl.load(x_ptr + offsets, mask=mask, other=neutral).to(tl.float32)
        if REDUCE == "max":
            acc = tl.maximum(acc, x)
        else:
            acc += x
    if REDUCE == "max":
        result = tl.max(acc, axis=0)
        result = tl.where(start < end, result, 0.0)
    else:
        result = tl.sum(acc, axis=0)
        if REDUCE == "mean":
            result = result / tl.maximum(end - start, 1)
    tl.store(out_ptr + segment.to(tl.int64) * out_stride + cols, result, mask=cols < dim)


def segment_reduce(x, indptr, reduce="sum"):
    """x [rows, dim]; segment s has the rows `indptr[s] : indptr[s + 1]`."""
    assert reduce in ("sum", "mean", "max")
    segments, dim = indptr.numel() - 1, x.shape[1]
    out = torch.empty((segments, dim), dtype=x.dtype, device=x.device)
    grid = lambda meta: (segments, triton.cdiv(dim, meta["BLOCK_D"]))
    _segment_kernel[grid](x, indptr, out, dim, x.stride(0), out.stride(0), REDUCE=reduce)
    return out
