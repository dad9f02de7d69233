"""Grouped convolution straight from NCHW: a block makes all outputs of one group for its pixels.

Two ways: on tensor cores, as an implicit GEMM with the group's taps as the reduced dimension
(order c, ky, kx, in which the weights already lie); or, for groups of a few channels, which would
leave most of a tensor-core tile empty, by multiply-adds with the weights as scalars. The latter
may split the outputs of a group over blocks, and is exact: fp32 throughout.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.direct import store_channels
from warpwright.operators.conv2d.kernels.epilogue import pointwise
from warpwright.operators.conv2d.kernels.layout import output_size
from warpwright.operators.conv2d.kernels.prepass import round_tf32


@triton.jit
def conv_grouped(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    GROUPS: tl.constexpr,
    C: tl.constexpr,
    OC: tl.constexpr,
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
    ROUND: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """C input and OC output channels a group. Pixels of the batch along M, taps along K."""
    PIXELS: tl.constexpr = OH * OW
    SIZE: tl.constexpr = C * KH * KW
    group = tl.program_id(0) % GROUPS
    m = tl.program_id(0) // GROUPS * BLOCK_P + tl.arange(0, BLOCK_P)
    kept = m < batch * PIXELS
    b = (m // PIXELS).to(tl.int64)
    p = m % PIXELS
    iy0 = p // OW * SH - PAD_H
    ix0 = p % OW * SW - PAD_W
    origin = (b * GROUPS + group) * (C * H * W) + iy0 * W + ix0
    oc = tl.arange(0, BLOCK_OC)
    rk = tl.arange(0, BLOCK_K)
    w_at = w_ptr + ((group * OC + oc) * SIZE)[:, None] + rk[None, :]
    acc = tl.zeros([BLOCK_P, BLOCK_OC], dtype=tl.float32)
    for k0 in tl.range(0, SIZE, BLOCK_K):
        k = k0 + rk
        kx = k % KW
        ky = k // KW % KH
        iy = iy0[:, None] + (ky * DIL_H)[None, :]
        ix = ix0[:, None] + (kx * DIL_W)[None, :]
        inside = (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W) & kept[:, None]
        inside = inside & (k < SIZE)[None, :]
        tap = (k // (KH * KW)) * (H * W) + ky * (DIL_H * W) + kx * DIL_W
        x = tl.load(x_ptr + (origin[:, None] + tap[None, :]), mask=inside, other=0.0)
        w_inside = (oc < OC)[:, None] & (k < SIZE)[None, :]
        w = tl.load(w_at + k0, mask=w_inside, other=0.0)
        if ROUND:
            x = round_tf32(x)
            w = round_tf32(w)
        acc = tl.dot(x, w.T, acc)
    # Channels beyond the group's take the next group's bias, and are not stored.
    where = b * (GROUPS * OC * PIXELS) + p
    oc += group * OC
    end = (group + 1) * OC
    store_channels(y_ptr, acc, bias_ptr, where, kept, oc, end, GROUPS * OC, PIXELS, HAS_BIAS)


@triton.jit
def conv_grouped_scalar(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    GROUPS: tl.constexpr,
    C: tl.constexpr,
    OC: tl.constexpr,
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
    BLOCK_P: tl.constexpr,
    BLOCK_OC: tl.constexpr,
):
    """Each loaded input value feeds BLOCK_OC accumulators in fp32. BLOCK_OC divides OC.

    Sums are made of sums of a few products, whose rounding errors are those of short sums.
    """
    PIXELS: tl.constexpr = OH * OW
    CHUNKS: tl.constexpr = OC // BLOCK_OC
    chunk = tl.program_id(0) % (GROUPS * CHUNKS)  # neighbouring blocks share their pixels
    group = chunk // CHUNKS
    oc = chunk * BLOCK_OC
    m = tl.program_id(0) // (GROUPS * CHUNKS) * BLOCK_P + tl.arange(0, BLOCK_P)
    m = tl.max_contiguous(m, 1)  # one value a thread and load: neighbours are neighbouring lanes
    kept = m < batch * PIXELS
    b = (m // PIXELS).to(tl.int64)
    p = m % PIXELS
    iy0 = p // OW * SH - PAD_H
    ix0 = p % OW * SW - PAD_W
    x_at = x_ptr + (b * GROUPS + group) * (C * H * W) + iy0 * W + ix0
    w_at = w_ptr + oc * (C * KH * KW)
    sums = (tl.zeros([BLOCK_P], dtype=tl.float32),)
    for _ in tl.static_range(1, BLOCK_OC):
        sums = sums + (tl.zeros([BLOCK_P], dtype=tl.float32),)
    # A short sum is over rows of the kernel: whole kernels of several channels, so that their loads
    # are on their way at once, but not many (with 8 by 8 channels that compiles for half a minute);
    # or a single row of a large kernel.
    MOST: tl.constexpr = 160 // (BLOCK_OC * KH * KW)
    FOURS: tl.constexpr = 4 if MOST >= 4 and C % 4 == 0 else 2 if MOST >= 2 and C % 2 == 0 else 1
    CHANNELS: tl.constexpr = 8 if MOST >= 8 and C % 8 == 0 else FOURS
    ROWS: tl.constexpr = CHANNELS * KH if KH * KW <= 32 else 1
    for row in tl.range(0, C * KH, ROWS):
        part = (tl.zeros([BLOCK_P], dtype=tl.float32),)
        for _ in tl.static_range(1, BLOCK_OC):
            part = part + (tl.zeros([BLOCK_P], dtype=tl.float32),)
        for i in tl.static_range(ROWS):
            c = row // KH + i // KH
            ky = i % KH if ROWS % KH == 0 else row % KH
            iy = iy0 + ky * DIL_H
            for kx in tl.static_range(KW):
                ix = ix0 + kx * DIL_W
                inside = (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W) & kept
                tap = (c * H + ky * DIL_H) * W + kx * DIL_W
                x = tl.load(x_at + tap, mask=inside, other=0.0).to(tl.float32)
                w = w_at + (c * KH + ky) * KW + kx
                fed = (part[0] + x * tl.load(w).to(tl.float32),)
                for o in tl.static_range(1, BLOCK_OC):
                    fed = fed + (part[o] + x * tl.load(w + o * (C * KH * KW)).to(tl.float32),)
                part = fed
        whole = (sums[0] + part[0],)
        for o in tl.static_range(1, BLOCK_OC):
            whole = whole + (sums[o] + part[o],)
        sums = whole
    y_at = y_ptr + b * (GROUPS * OC * PIXELS) + oc * PIXELS + p
    for o in tl.static_range(BLOCK_OC):
        acc = sums[o]
        if HAS_BIAS:
            acc += tl.load(bias_ptr + oc + o).to(tl.float32)
        acc = pointwise(acc)
        tl.store(y_at + o * PIXELS, acc, mask=kept)


def conv2d_grouped(x, weight, bias, stride, padding, dilation, groups):
    """conv2d of x [B, G·C, H, W] with weight [G·OC, C, KH, KW] in G groups.

    padding: (top, left, bottom, right). fp32 operands are rounded to TF32.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, _, height, width = x.shape
    out_channels, channels, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    grid = lambda meta: (triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"]) * groups,)
    conv_grouped[grid](
        x,
        weight,
        bias,
        y,
        batch,
        GROUPS=groups,
        C=channels,
        OC=out_channels // groups,
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
        ROUND=x.dtype == torch.float32,
    )
    return y


def conv2d_grouped_scalar(x, weight, bias, stride, padding, dilation, groups):
    """conv2d of x [B, G·C, H, W] with weight [G·OC, C, KH, KW] in G groups, in fp32.

    padding: (top, left, bottom, right).
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, _, height, width = x.shape
    out_channels, channels, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    grid = lambda meta: (
        triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"]) * (out_channels // meta["BLOCK_OC"]),
    )
    conv_grouped_scalar[grid](
        x,
        weight,
        bias,
        y,
        batch,
        GROUPS=groups,
        C=channels,
        OC=out_channels // groups,
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
