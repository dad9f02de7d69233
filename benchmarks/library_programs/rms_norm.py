"""RMS norm of the last dimension, forward."""

import torch
import triton
import triton.language as tl

MAX_FUSED_BYTES = 65536


def _block_and_warps(columns, element_size):
    """One block holds a whole row; wider rows get more warps."""
    block = triton.next_power_of_2(columns)
    if block * element_size > MAX_FUSED_BYTES:
        raise ValueError(f"rows of {columns} elements are too wide for one block")
    num_warps = 4
    if block >= 8192:
        num_warps = 16
    elif block >= 2048:
        num_warps = 8
    return block, num_warps


@triton.jit
def _rms_norm_kernel(
    y_ptr,
    y_row_stride,
    x_ptr,
    x_row_stride,
    weight_ptr,
    rstd_ptr,
    n_cols,
    eps,
    HAS_WEIGHT: tl.constexpr,
    SAVE_RSTD: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK_SIZE)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row_stride + cols, mask=mask, other=0.0).to(tl.float32)
    variance = tl.sum(x * x, axis=0) / n_cols
    rstd = tl.rsqrt(variance + eps)
    if SAVE_RSTD:
        tl.store(rstd_ptr + row, rstd)
    y = x * rstd
    if HAS_WEIGHT:
        weight = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        y = y * weight
    tl.store(y_ptr + row * y_row_stride + cols, y.to(y_ptr.dtype.element_ty), mask=mask)


def rms_norm(x: torch.Tensor, weight: torch.Tensor | None = None, eps: float = 1e-6):
    """`x / sqrt(mean(x²) + eps) * weight`, and 1 / the root, which the backward pass uses."""
    shape = x.shape
    x = x.reshape(-1, shape[-1])
    n_rows, n_cols = x.shape
    y = torch.empty_like(x)
    rstd = torch.empty(n_rows, dtype=torch.float32, device=x.device)
    block, num_warps = _block_and_warps(n_cols, x.element_size())
    _rms_norm_kernel[(n_rows,)](
        y,
        y.stride(0),
        x,
        x.stride(0),
        weight,
        rstd,
        n_cols,
        eps,
        HAS_WEIGHT=weight is not None,
        SAVE_RSTD=True,
        BLOCK_SIZE=block,
        num_warps=num_warps,
    )
    return y.view(shape), rstd
