"""RMS norm as an autograd function: one row a block forward, many rows a block backward."""

import math

import torch
import triton
import triton.language as tl

from ._utils import ensure_contiguous, settings_for, sm_count


@triton.jit
def _forward_kernel(
    Y, y_stride, X, x_stride, W, RSTD, n_cols, eps, offset, BLOCK_SIZE: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK_SIZE)
    mask = cols < n_cols
    x = tl.load(X + row * x_stride + cols, mask=mask, other=0).to(tl.float32)
    w = tl.load(W + cols, mask=mask, other=0).to(tl.float32)
    rstd = tl.rsqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(RSTD + row, rstd)
    tl.store(Y + row * y_stride + cols, x * rstd * (w + offset), mask=mask)


@triton.jit
def _backward_kernel(
    DY,
    dy_stride,
    DX,
    dx_stride,
    X,
    x_stride,
    W,
    RSTD,
    DW,
    dw_stride,
    n_rows,
    n_cols,
    offset,
    rows_per_program,
    BLOCK_SIZE: tl.constexpr,
):
    pid = tl.program_id(0).to(tl.int64)
    first = pid * rows_per_program
    last = tl.minimum(first + rows_per_program, n_rows)
    cols = tl.arange(0, BLOCK_SIZE)
    mask = cols < n_cols
    w = tl.load(W + cols, mask=mask, other=0).to(tl.float32) + offset
    dw = tl.zeros((BLOCK_SIZE,), dtype=tl.float32)
    for row in range(first, last):
        dy = tl.load(DY + row * dy_stride + cols, mask=mask, other=0).to(tl.float32)
        x = tl.load(X + row * x_stride + cols, mask=mask, other=0).to(tl.float32)
        rstd = tl.load(RSTD + row)
        normed = x * rstd
        m = dy * w
        dx = rstd * (m - normed * (tl.sum(m * normed, axis=0) / n_cols))
        dw += dy * normed
        tl.store(DX + row * dx_stride + cols, dx.to(DX.dtype.element_ty), mask=mask)
    tl.store(DW + pid * dw_stride + cols, dw, mask=mask)


class RMSNorm(torch.autograd.Function):
    """`x / sqrt(mean(x²) + eps) * (weight + offset)` over the last dimension."""

    @staticmethod
    @ensure_contiguous
    def forward(ctx, x, weight, eps=1e-6, offset=0.0):
        shape = x.shape
        x = x.view(-1, shape[-1])
        n_rows, n_cols = x.shape
        block, num_warps = settings_for(n_cols)
        y = torch.empty_like(x)
        rstd = torch.empty(n_rows, dtype=torch.float32, device=x.device)
        _forward_kernel[(n_rows,)](
            y,
            y.stride(0),
            x,
            x.stride(0),
            weight,
            rstd,
            n_cols,
            eps,
            offset,
            BLOCK_SIZE=block,
            num_warps=num_warps,
        )
        ctx.save_for_backward(x, weight, rstd)
        ctx.offset, ctx.block, ctx.num_warps = offset, block, num_warps
        return y.view(shape)

    @staticmethod
    @ensure_contiguous
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        shape = dy.shape
        dy = dy.view(-1, shape[-1])
        n_rows, n_cols = dy.shape
        programs = sm_count()
        rows_per_program = math.ceil(n_rows / programs)
        dx = torch.empty_like(dy)
        partial = torch.zeros(programs, n_cols, dtype=torch.float32, device=dy.device)
        _backward_kernel[(programs,)](
            dy,
            dy.stride(0),
            dx,
            dx.stride(0),
            x,
            x.stride(0),
            weight,
            rstd,
            partial,
            partial.stride(0),
            n_rows,
            n_cols,
            ctx.offset,
            rows_per_program,
            BLOCK_SIZE=ctx.block,
            num_warps=ctx.num_warps,
        )
        return dx.view(shape), partial.sum(dim=0).to(weight.dtype), None, None
