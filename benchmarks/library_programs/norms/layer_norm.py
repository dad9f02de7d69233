"""Layer norm as an autograd function; gradients of weight and bias are summed in two steps."""

import torch
import triton
import triton.language as tl

from . import _utils


@triton.jit
def _layer_norm_forward(
    x_ptr, y_ptr, w_ptr, b_ptr, mean_ptr, rstd_ptr, stride, n_cols, eps, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    x_ptr += row * stride
    y_ptr += row * stride
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(x, axis=0) / n_cols
    centred = tl.where(mask, x - mean, 0.0)
    var = tl.sum(centred * centred, axis=0) / n_cols
    rstd = 1 / tl.sqrt(var + eps)
    w = tl.load(w_ptr + cols, mask=mask).to(tl.float32)
    b = tl.load(b_ptr + cols, mask=mask).to(tl.float32)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)
    tl.store(y_ptr + cols, centred * rstd * w + b, mask=mask)


@triton.jit
def _layer_norm_backward(
    dy_ptr,
    x_ptr,
    w_ptr,
    mean_ptr,
    rstd_ptr,
    dx_ptr,
    dw_ptr,
    db_ptr,
    stride,
    n_rows,
    n_cols,
    BLOCK: tl.constexpr,
):
    pid = tl.program_id(0)
    programs = tl.num_programs(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(w_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros([BLOCK], dtype=tl.float32)
    db = tl.zeros([BLOCK], dtype=tl.float32)
    for row in range(pid, n_rows, programs):
        start = row.to(tl.int64) * stride
        x = tl.load(x_ptr + start + cols, mask=mask, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + start + cols, mask=mask, other=0.0).to(tl.float32)
        mean = tl.load(mean_ptr + row)
        rstd = tl.load(rstd_ptr + row)
        xhat = tl.where(mask, (x - mean) * rstd, 0.0)
        wdy = w * dy
        c1 = tl.sum(xhat * wdy, axis=0) / n_cols
        c2 = tl.sum(wdy, axis=0) / n_cols
        dx = (wdy - (xhat * c1 + c2)) * rstd
        tl.store(dx_ptr + start + cols, dx, mask=mask)
        dw += dy * xhat
        db += dy
    out = pid.to(tl.int64) * n_cols + cols
    tl.store(dw_ptr + out, dw, mask=mask)
    tl.store(db_ptr + out, db, mask=mask)


@triton.jit
def _sum_partials(
    dw_part_ptr,
    db_part_ptr,
    dw_ptr,
    db_ptr,
    n_parts,
    n_cols,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    cols = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    dw = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    db = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, n_parts, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        mask = (rows[:, None] < n_parts) & (cols[None, :] < n_cols)
        offsets = rows[:, None] * n_cols + cols[None, :]
        dw += tl.load(dw_part_ptr + offsets, mask=mask, other=0.0)
        db += tl.load(db_part_ptr + offsets, mask=mask, other=0.0)
    tl.store(dw_ptr + cols, tl.sum(dw, axis=0), mask=cols < n_cols)
    tl.store(db_ptr + cols, tl.sum(db, axis=0), mask=cols < n_cols)


class LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps=1e-5):
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        rows, cols = flat.shape
        y = torch.empty_like(flat)
        mean = torch.empty((rows,), dtype=torch.float32, device=x.device)
        rstd = torch.empty((rows,), dtype=torch.float32, device=x.device)
        block, warps = _utils.settings_for(cols)
        _layer_norm_forward[(rows,)](
            flat,
            y,
            weight,
            bias,
            mean,
            rstd,
            flat.stride(0),
            cols,
            eps,
            BLOCK=block,
            num_warps=warps,
        )
        ctx.save_for_backward(flat, weight, bias, mean, rstd)
        ctx.block, ctx.warps = block, warps
        return y.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        grad = dy.reshape(-1, dy.shape[-1]).contiguous()
        rows, cols = x.shape
        parts = min(rows, 2 * _utils.sm_count())
        dx = torch.empty_like(x)
        dw_part = torch.empty((parts, cols), dtype=torch.float32, device=x.device)
        db_part = torch.empty_like(dw_part)
        dw, db = torch.empty_like(weight), torch.empty_like(bias)
        _layer_norm_backward[(parts,)](
            grad,
            x,
            weight,
            mean,
            rstd,
            dx,
            dw_part,
            db_part,
            x.stride(0),
            rows,
            cols,
            BLOCK=ctx.block,
            num_warps=ctx.warps,
        )
        grid = lambda meta: (triton.cdiv(cols, meta["BLOCK_N"]),)
        _sum_partials[grid](dw_part, db_part, dw, db, parts, cols, BLOCK_M=32, BLOCK_N=128)
        return dx.view_as(dy), dw, db, None


def layer_norm(x, weight, bias, eps=1e-5):
    """Layer norm of the last dimension, differentiable."""
    return LayerNorm.apply(x, weight, bias, eps)
