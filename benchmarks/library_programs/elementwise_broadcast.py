"""`alpha * x * gelu(y)` of tensors of any shapes that broadcast, with any strides."""

import functools

import torch
import triton
import triton.language as tl

MAX_DIMS = 4


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.math.erf(x * 0.7071067811865476))


@triton.jit
def _contiguous_kernel(x_ptr, y_ptr, out_ptr, alpha, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask).to(tl.float32)
    y = tl.load(y_ptr + offsets, mask=mask).to(tl.float32)
    tl.store(out_ptr + offsets, alpha * x * _gelu(y), mask=mask)


@triton.jit
def _strided_kernel(
    x_ptr,
    y_ptr,
    out_ptr,
    alpha,
    n,
    size1,
    size2,
    size3,
    x_stride0,
    x_stride1,
    x_stride2,
    x_stride3,
    y_stride0,
    y_stride1,
    y_stride2,
    y_stride3,
    BLOCK: tl.constexpr,
):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    i3 = offsets % size3
    rest = offsets // size3
    i2 = rest % size2
    rest = rest // size2
    i1 = rest % size1
    i0 = rest // size1
    x_offsets = i0 * x_stride0 + i1 * x_stride1 + i2 * x_stride2 + i3 * x_stride3
    y_offsets = i0 * y_stride0 + i1 * y_stride1 + i2 * y_stride2 + i3 * y_stride3
    x = tl.load(x_ptr + x_offsets, mask=mask).to(tl.float32)
    y = tl.load(y_ptr + y_offsets, mask=mask).to(tl.float32)
    tl.store(out_ptr + offsets, alpha * x * _gelu(y), mask=mask)


def _promoted(function):
    """Promotes two tensors to one dtype and one shape."""

    @functools.wraps(function)
    def wrapper(x, y, *args, **kwargs):
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y = torch.broadcast_tensors(x, y)
        return function(x.to(dtype), y.to(dtype), *args, **kwargs)

    return wrapper


def _padded(values, filler):
    return [filler] * (MAX_DIMS - len(values)) + list(values)


@_promoted
def mul_gelu(x, y, alpha=1.0):
    """`alpha * x * gelu(y)` for up to four dimensions."""
    if x.dim() > MAX_DIMS:
        raise ValueError(f"at most {MAX_DIMS} dimensions, not {x.dim()}")
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    n = out.numel()
    if n == 0:
        return out
    block = 1024
    grid = (triton.cdiv(n, block),)
    if x.is_contiguous() and y.is_contiguous():
        _contiguous_kernel[grid](x, y, out, alpha, n, BLOCK=block, num_warps=4)
        return out
    sizes = _padded(x.shape, 1)
    strides = (*_padded(x.stride(), 0), *_padded(y.stride(), 0))
    _strided_kernel[grid](x, y, out, alpha, n, *sizes[1:], *strides, BLOCK=block, num_warps=4)
    return out
