"""Grouped convolution straight from NCHW: a block makes all outputs of one group for its pixels.

Two ways: on tensor cores, as an implicit GEMM with the group's taps as the reduced dimension
(order c, ky, kx, in which the weights already lie); or, for groups of a few channels, which would
leave most of a tensor-core tile empty, by multiply-adds with the weights as scalars.
"""

import triton
import triton.language as tl

from warpwright.proposers.schedules.conv2d.kernels.prepass import round_tf32


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
    if HAS_BIAS:
        bias = tl.load(bias_ptr + group * OC + oc, mask=oc < OC, other=0.0).to(tl.float32)
        acc += bias[None, :]
    target = (b * GROUPS + group) * (OC * PIXELS) + p
    inside = kept[:, None] & (oc < OC)[None, :]
    where = y_ptr + target[:, None] + (oc * PIXELS)[None, :]
    tl.store(where, acc.to(y_ptr.dtype.element_ty), mask=inside)


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
):
    """Each input value is loaded once and feeds the OC accumulators of its group, in fp32."""
    PIXELS: tl.constexpr = OH * OW
    group = tl.program_id(0) % GROUPS
    m = tl.program_id(0) // GROUPS * BLOCK_P + tl.arange(0, BLOCK_P)
    m = tl.max_contiguous(m, 1)  # one value a thread and load: neighbours are neighbouring lanes
    kept = m < batch * PIXELS
    b = (m // PIXELS).to(tl.int64)
    p = m % PIXELS
    iy0 = p // OW * SH - PAD_H
    ix0 = p % OW * SW - PAD_W
    x_at = x_ptr + (b * GROUPS + group) * (C * H * W) + iy0 * W + ix0
    w_at = w_ptr + group * (OC * C * KH * KW)
    accs = (tl.zeros([BLOCK_P], dtype=tl.float32),)
    for _ in tl.static_range(1, OC):
        accs = accs + (tl.zeros([BLOCK_P], dtype=tl.float32),)
    # A loop, not unrolled: with 8 by 8 channels a group that compiles for half a minute.
    for c in tl.range(C):
        for ky in tl.static_range(KH):
            iy = iy0 + ky * DIL_H
            for kx in tl.static_range(KW):
                ix = ix0 + kx * DIL_W
                inside = (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W) & kept
                tap = (c * H + ky * DIL_H) * W + kx * DIL_W
                x = tl.load(x_at + tap, mask=inside, other=0.0).to(tl.float32)
                w = w_at + (c * KH + ky) * KW + kx
                fed = (accs[0] + x * tl.load(w).to(tl.float32),)
                for o in tl.static_range(1, OC):
                    fed = fed + (accs[o] + x * tl.load(w + o * (C * KH * KW)).to(tl.float32),)
                accs = fed
    y_at = y_ptr + (b * GROUPS + group) * (OC * PIXELS) + p
    for o in tl.static_range(OC):
        acc = accs[o]
        if HAS_BIAS:
            acc += tl.load(bias_ptr + group * OC + o).to(tl.float32)
        tl.store(y_at + o * PIXELS, acc.to(y_ptr.dtype.element_ty), mask=kept)
