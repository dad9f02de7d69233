"""Bilinear resize of images [batch, channels, height, width]."""

import torch
import triton
import triton.language as tl


@triton.jit
def _source(index, scale, ALIGN_CORNERS: tl.constexpr):
    if ALIGN_CORNERS:
        return index.to(tl.float32) * scale
    return tl.maximum((index.to(tl.float32) + 0.5) * scale - 0.5, 0.0)


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_Y": 1, "BLOCK_X": 256}, num_warps=4),
        triton.Config({"BLOCK_Y": 8, "BLOCK_X": 32}, num_warps=4),
        triton.Config({"BLOCK_Y": 8, "BLOCK_X": 64}, num_warps=4),
        triton.Config({"BLOCK_Y": 16, "BLOCK_X": 64}, num_warps=8),
    ],
    key=["out_h", "out_w"],
)
@triton.jit
def _resize_kernel(
    x_ptr,
    y_ptr,
    in_h,
    in_w,
    out_h,
    out_w,
    scale_h,
    scale_w,
    ALIGN_CORNERS: tl.constexpr,
    BLOCK_Y: tl.constexpr,
    BLOCK_X: tl.constexpr,
):
    plane = tl.program_id(2).to(tl.int64)
    oy = tl.program_id(1) * BLOCK_Y + tl.arange(0, BLOCK_Y)
    ox = tl.program_id(0) * BLOCK_X + tl.arange(0, BLOCK_X)
    sy = _source(oy, scale_h, ALIGN_CORNERS)
    sx = _source(ox, scale_w, ALIGN_CORNERS)
    y0 = tl.minimum(sy.to(tl.int32), in_h - 1)
    x0 = tl.minimum(sx.to(tl.int32), in_w - 1)
    y1 = tl.minimum(y0 + 1, in_h - 1)
    x1 = tl.minimum(x0 + 1, in_w - 1)
    wy = (sy - y0.to(tl.float32))[:, None]
    wx = (sx - x0.to(tl.float32))[None, :]
    mask = (oy[:, None] < out_h) & (ox[None, :] < out_w)
    base = x_ptr + plane * in_h * in_w
    top = base + y0[:, None] * in_w
    low = base + y1[:, None] * in_w
    a = tl.load(top + x0[None, :], mask=mask, other=0.0).to(tl.float32)
    b = tl.load(top + x1[None, :], mask=mask, other=0.0).to(tl.float32)
    c = tl.load(low + x0[None, :], mask=mask, other=0.0).to(tl.float32)
    d = tl.load(low + x1[None, :], mask=mask, other=0.0).to(tl.float32)
    upper = a + (b - a) * wx
    lower = c + (d - c) * wx
    y = upper + (lower - upper) * wy
    out = y_ptr + plane * out_h * out_w + oy[:, None] * out_w + ox[None, :]
    tl.store(out, y, mask=mask)


def resize_bilinear(x, out_h, out_w, align_corners=False):
    """`x` at the size `out_h` × `out_w`."""
    batch, channels, in_h, in_w = x.shape
    x = x.contiguous()
    y = torch.empty((batch, channels, out_h, out_w), dtype=x.dtype, device=x.device)
    if align_corners:
        scale_h = (in_h - 1) / (out_h - 1) if out_h > 1 else 0.0
        scale_w = (in_w - 1) / (out_w - 1) if out_w > 1 else 0.0
    else:
        scale_h, scale_w = in_h / out_h, in_w / out_w
    grid = lambda meta: (
        triton.cdiv(out_w, meta["BLOCK_X"]),
        triton.cdiv(out_h, meta["BLOCK_Y"]),
        batch * channels,
    )
    _resize_kernel[grid](
        x, y, in_h, in_w, out_h, out_w, scale_h, scale_w, ALIGN_CORNERS=align_corners
    )
    return y
