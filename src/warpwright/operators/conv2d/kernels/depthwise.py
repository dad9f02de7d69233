"""Depthwise convolution: each output plane from one input plane, on fp32 accumulators.

Bound by memory, so what counts is that each input row is asked for seldom: a thread makes ROWS
output rows of its column, loads each input value of a kernel column once, and feeds it to every
output row that touches it. Neighbouring kernel columns overlap in L1.

A plane is a channel of an image; output plane n comes from input plane n // MULTIPLIER.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.epilogue import bias_of, pointwise
from warpwright.operators.conv2d.kernels.layout import output_size


@triton.jit
def add_tap(
    acc,
    x,
    w_at,
    kept,
    ROW: tl.constexpr,
    KX: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    DIL_H: tl.constexpr,
):
    """Add x times the tap that reads input row ROW (counted from the output row's first)."""
    if ROW >= 0:
        if ROW % DIL_H == 0:
            if ROW // DIL_H < KH:
                TAP: tl.constexpr = ROW // DIL_H * KW + KX
                w = tl.load(w_at + TAP, mask=kept, other=0.0).to(tl.float32)
                acc += x * w[None, :]
    return acc


@triton.jit
def conv_depthwise(
    x_ptr,  # [batch, OC / MULTIPLIER, H, W]
    w_ptr,  # [OC, 1, KH, KW]
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    planes,  # batch · OC
    OC: tl.constexpr,
    MULTIPLIER: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """BLOCK_N planes by BLOCK_P columns of ROWS output rows; a column is (row group, x)."""
    ROW_GROUPS: tl.constexpr = (OH + ROWS - 1) // ROWS
    BLOCKS: tl.constexpr = (ROW_GROUPS * OW + BLOCK_P - 1) // BLOCK_P
    n = tl.program_id(0) // BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    p = tl.program_id(0) % BLOCKS * BLOCK_P + tl.arange(0, BLOCK_P)
    # One column a thread and load: neighbouring columns are neighbouring lanes. For that they are
    # the first axis: the compiler lays a warp along it where neither axis is contiguous.
    p = tl.max_contiguous(p, 1)
    kept = n < planes
    y0 = p // OW * ROWS
    ox = p % OW
    oc = n % OC
    w_at = w_ptr + oc * (KH * KW)
    x_at = x_ptr + (n // MULTIPLIER).to(tl.int64)[None, :] * (H * W)
    iy0 = y0 * SH - PAD_H
    ix0 = ox * SW - PAD_W
    bias = bias_of(bias_ptr, oc, OC, HAS_BIAS)
    start = bias[None, :] + tl.zeros([BLOCK_P, BLOCK_N], dtype=tl.float32)
    accs = (start,)
    for _ in tl.static_range(1, ROWS):
        accs = accs + (start,)
    for row in tl.static_range((ROWS - 1) * SH + (KH - 1) * DIL_H + 1):
        iy = iy0 + row
        for kx in tl.static_range(KW):
            ix = ix0 + kx * DIL_W
            inside = (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W)
            x = tl.load(
                x_at + (iy * W + ix)[:, None], mask=inside[:, None] & kept[None, :], other=0.0
            ).to(tl.float32)
            fed = (add_tap(accs[0], x, w_at, kept, row, kx, KH, KW, DIL_H),)
            for r in tl.static_range(1, ROWS):
                fed = fed + (add_tap(accs[r], x, w_at, kept, row - r * SH, kx, KH, KW, DIL_H),)
            accs = fed
    y_at = y_ptr + n.to(tl.int64)[None, :] * (OH * OW)
    for r in tl.static_range(ROWS):
        oy = y0 + r
        where = y_at + (oy * OW + ox)[:, None]
        inside = (oy < OH)[:, None] & kept[None, :]
        acc = accs[r]
        acc = pointwise(acc)
        tl.store(where, acc, mask=inside)


def conv2d_depthwise(x, weight, bias, stride, padding, dilation):
    """conv2d of x [B, C, H, W] with weight [C·M, 1, KH, KW] in C groups.

    padding: (top, left, bottom, right).
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    grid = lambda meta: (
        triton.cdiv(batch * out_channels, meta["BLOCK_N"])
        * triton.cdiv(triton.cdiv(out_h, meta["ROWS"]) * out_w, meta["BLOCK_P"]),
    )
    conv_depthwise[grid](
        x,
        weight,
        bias,
        y,
        batch * out_channels,
        OC=out_channels,
        MULTIPLIER=out_channels // channels,
        H=height,
        W=width,
        OH=out_h,
        OW=out_w,
        KH=kernel_h,
        KW=kernel_w,
        SH=stride[0],
        SW=stride[1],
        PAD_H=top,
        PAD_W=left,
        DIL_H=dilation[0],
        DIL_W=dilation[1],
        HAS_BIAS=bias is not None,
    )
    return y
