"""Softmax of rows: one block a row where it fits, else two passes with a running maximum."""

import torch
import triton
import triton.language as tl


def _num_warps(args):
    return 4 if args["BLOCK_N"] <= 2048 else 8 if args["BLOCK_N"] <= 8192 else 16


@triton.heuristics(
    {
        "BLOCK_N": lambda args: min(triton.next_power_of_2(args["n_cols"]), 16384),
        "ONE_TILE": lambda args: args["n_cols"] <= 16384,
        "num_warps": _num_warps,
    }
)
@triton.jit
def softmax_kernel(
    out_ptr,
    in_ptr,
    out_row_stride,
    in_row_stride,
    n_cols,
    scale,
    BLOCK_N: tl.constexpr,
    ONE_TILE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    in_ptr += row * in_row_stride
    out_ptr += row * out_row_stride
    if ONE_TILE:
        cols = tl.arange(0, BLOCK_N)
        x = tl.load(in_ptr + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32) * scale
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + cols, e / tl.sum(e, axis=0), mask=cols < n_cols)
    else:
        m = tl.full([BLOCK_N], value=-float("inf"), dtype=tl.float32)
        z = tl.zeros([BLOCK_N], dtype=tl.float32)
        for start in range(0, n_cols, BLOCK_N):
            cols = start + tl.arange(0, BLOCK_N)
            x = tl.load(in_ptr + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            x *= scale
            new = tl.maximum(m, x)
            # A lane that has seen nothing yet keeps -inf, which must not be subtracted from itself.
            z = tl.where(new == -float("inf"), 0.0, z * tl.exp(m - new) + tl.exp(x - new))
            m = new
        top = tl.max(m, axis=0)
        total = tl.sum(z * tl.exp(m - top), axis=0)
        for start in range(0, n_cols, BLOCK_N):
            cols = start + tl.arange(0, BLOCK_N)
            x = tl.load(in_ptr + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            tl.store(out_ptr + cols, tl.exp(x * scale - top) / total, mask=cols < n_cols)


def softmax(x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Softmax of `scale * x` over the last dimension."""
    rows = x.reshape(-1, x.shape[-1])
    if rows.stride(-1) != 1:
        rows = rows.contiguous()
    out = torch.empty_like(rows)
    softmax_kernel[(rows.shape[0],)](out, rows, out.stride(0), rows.stride(0), rows.shape[1], scale)
    return out.view(x.shape)
