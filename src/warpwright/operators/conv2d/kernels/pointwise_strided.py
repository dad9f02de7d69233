"""Strided 1×1 convolution: the pixels that count, as rows of channels, then a matrix product."""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.nhwc import conv_nhwc
from warpwright.operators.conv2d.kernels.prepass import packed_taps, round_tf32


@triton.jit
def collect_pixels(
    x_ptr,
    y_ptr,
    channels,
    height,
    width,
    out_h,
    out_w,
    packed_c,
    SH: tl.constexpr,
    SW: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    ROUND: tl.constexpr,
):
    """x[b, c, SH·r, SW·q] → y[b, r, q, c], zeros for c ≥ channels.

    The grid is (blocks of kept pixels, blocks of channels, images).
    """
    b = tl.program_id(2).to(tl.int64)
    # Loaded as one run, pixels innermost, so that the lanes of a warp lie along pixels: of two axes
    # that are not contiguous, versions of Triton differ in which one they lay a warp along.
    t = tl.arange(0, BLOCK_C * BLOCK_P)
    p = tl.program_id(0) * BLOCK_P + t % BLOCK_P
    c = tl.program_id(1) * BLOCK_C + t // BLOCK_P
    source = c * (height * width) + p // out_w * (SH * width) + p % out_w * SW
    x_at = x_ptr + b * channels * height * width + source
    x = tl.load(x_at, mask=(p < out_h * out_w) & (c < channels), other=0.0)
    if ROUND:
        x = round_tf32(x)
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    y_at = y_ptr + b * out_h * out_w * packed_c + (p * packed_c)[:, None] + c[None, :]
    kept = (p < out_h * out_w)[:, None] & (c < packed_c)[None, :]
    tl.store(y_at, x.reshape([BLOCK_C, BLOCK_P]).T, mask=kept)


def conv2d_pointwise_strided(x, weight, bias, stride, packed_c):
    """conv2d of x [B, C, H, W] with weight [OC, C, 1, 1], without padding.

    packed_c: input channels with zeros added. fp32 operands are rounded to TF32.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels = weight.shape[0]
    out_h, out_w = (height - 1) // stride[0] + 1, (width - 1) // stride[1] + 1
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    rounded = x.dtype == torch.float32
    packed = packed_taps(weight, packed_c, rounded)
    rows = torch.empty((batch, out_h, out_w, packed_c), device=x.device, dtype=x.dtype)
    collect_pixels[(triton.cdiv(out_h * out_w, 64), triton.cdiv(packed_c, 32), batch)](
        x,
        rows,
        channels,
        height,
        width,
        out_h,
        out_w,
        packed_c,
        SH=stride[0],
        SW=stride[1],
        BLOCK_C=32,
        BLOCK_P=64,
        ROUND=rounded,
    )
    grid = lambda meta: (
        triton.cdiv(out_channels, meta["BLOCK_OC"])
        * triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"]),
        1,
    )
    conv_nhwc[grid](
        rows,
        packed,
        bias,
        y,
        batch,
        C=packed_c,
        H=out_h,
        W=out_w,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        GROUPS=1,
        KH=1,
        KW=1,
        SH=1,
        SW=1,
        HEIGHT=out_h,
        TOP=0,
        PAD_H=0,
        PAD_W=0,
        DIL_H=1,
        DIL_W=1,
        HAS_BIAS=bias is not None,
        CHANNELS_LAST=False,
        MASKED=False,
        WIDE=max(rows.numel(), y.numel()) > 2**31 - 2**20,
        SPLIT=1,
    )
    return y
