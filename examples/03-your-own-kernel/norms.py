"""RMS norm of rows with a residual added first, as a model's package might have it."""

import torch
import triton
import triton.language as tl


@triton.jit
def add_rms_norm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, sum_ptr, stride, columns, eps, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    offsets = tl.arange(0, BLOCK)
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        mask = start + offsets < columns
        x = tl.load(x_ptr + row * stride + start + offsets, mask=mask, other=0.0)
        added = tl.load(residual_ptr + row * stride + start + offsets, mask=mask, other=0.0)
        total = x.to(tl.float32) + added.to(tl.float32)
        tl.store(sum_ptr + row * stride + start + offsets, total, mask=mask)
        squares += total * total
    scale = tl.rsqrt(tl.sum(squares, axis=0) / columns + eps)
    for start in range(0, columns, BLOCK):
        mask = start + offsets < columns
        total = tl.load(sum_ptr + row * stride + start + offsets, mask=mask, other=0.0)
        weight = tl.load(weight_ptr + start + offsets, mask=mask, other=0.0)
        normed = total.to(tl.float32) * scale * weight.to(tl.float32)
        tl.store(out_ptr + row * stride + start + offsets, normed, mask=mask)


def add_rms_norm(x, residual, weight, eps=1e-6):
    """The normed rows, and the sum of `x` and `residual`, which the next layer adds to."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    added = residual.reshape(-1, x.shape[-1]).contiguous()
    out, total = torch.empty_like(rows), torch.empty_like(rows)
    grid, stride = (rows.shape[0],), rows.stride(0)
    add_rms_norm_kernel[grid](
        rows, added, weight, out, total, stride, rows.shape[1], eps, BLOCK=1024, num_warps=4
    )
    return out.view_as(x), total.view_as(x)
