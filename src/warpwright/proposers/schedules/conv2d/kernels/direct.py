"""Implicit GEMM that gathers its input windows from NCHW as it goes: no pre-pass, any problem.

Pixels (over the whole batch) lie along M, so that the input tile may be a register operand and is
rounded there. The reduced dimension is (c, ky, kx) with kx padded to PAD_KW, an even number: two
neighbouring taps are loaded at once where stride and padding are even, and loads this small go
through L1, which then serves the overlap of neighbouring windows.

w: packed [OC, K] (order 1 of pack_weight), rounded. Channels are split into BLOCK_A + BLOCK_B so
that 96 of them need not be padded to 128; BLOCK_B = 0 means one block.
"""

import triton
import triton.language as tl

from warpwright.proposers.schedules.conv2d.kernels.prepass import round_tf32


@triton.jit
def gather(
    x_ptr,
    origin,
    iy0,
    ix0,
    k,
    height,
    width,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    PAD_KW: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    ROUND: tl.constexpr,
):
    """The input tile [pixels, taps] for taps k; zeros outside of the image and the kernel."""
    kx = k % PAD_KW
    ky = k // PAD_KW % KH
    c = k // (PAD_KW * KH)
    iy = iy0[:, None] + (ky * DIL_H)[None, :]
    ix = ix0[:, None] + (kx * DIL_W)[None, :]
    inside = (iy >= 0) & (iy < height) & (ix >= 0) & (ix < width) & (c < C)[None, :]
    offset = c * (height * width) + ky * DIL_H * width + kx * DIL_W
    x = tl.load(x_ptr + (origin[:, None] + offset[None, :]), mask=inside, other=0.0)
    if ROUND:
        x = round_tf32(x)
    return x


@triton.jit
def store_channels(
    y_ptr,
    acc,
    bias_ptr,
    where,
    kept,
    oc0,
    out_channels,
    pixels,
    HAS_BIAS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    oc = oc0 + tl.arange(0, BLOCK)
    if HAS_BIAS:
        acc += tl.load(bias_ptr + oc, mask=oc < out_channels, other=0.0).to(tl.float32)[None, :]
    inside = kept[:, None] & (oc < out_channels)[None, :]
    tl.store(y_ptr + where[:, None] + (oc * pixels)[None, :], acc, mask=inside)


@triton.jit
def conv_direct(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    height,
    width,
    out_channels,
    out_h,
    out_w,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    PAD_KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
    ROUND: tl.constexpr,
):
    pixels = out_h * out_w
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    kept = m < batch * pixels
    b = m // pixels
    p = m % pixels
    iy0 = p // out_w * SH - PAD_H
    ix0 = p % out_w * SW - PAD_W
    iy0 = tl.where(kept, iy0, height)  # such pixels read nothing
    origin = b * (C * height * width) + iy0 * width + ix0
    oc0 = tl.program_id(1) * (BLOCK_A + BLOCK_B)
    rk = tl.arange(0, BLOCK_K)
    w_a = w_ptr + (oc0 + tl.arange(0, BLOCK_A))[:, None] * K + rk[None, :]
    acc_a = tl.zeros([BLOCK_M, BLOCK_A], dtype=tl.float32)
    if BLOCK_B > 0:
        w_b = w_ptr + (oc0 + BLOCK_A + tl.arange(0, BLOCK_B))[:, None] * K + rk[None, :]
        acc_b = tl.zeros([BLOCK_M, BLOCK_B], dtype=tl.float32)
    for k0 in tl.range(0, K, BLOCK_K):
        x = gather(
            x_ptr, origin, iy0, ix0, k0 + rk, height, width, C, KH, KW, PAD_KW, DIL_H, DIL_W, ROUND
        )
        acc_a = tl.dot(x, tl.load(w_a + k0).T, acc_a)
        if BLOCK_B > 0:
            acc_b = tl.dot(x, tl.load(w_b + k0).T, acc_b)
    where = b * (out_channels * pixels) + p
    store_channels(
        y_ptr, acc_a, bias_ptr, where, kept, oc0, out_channels, pixels, HAS_BIAS, BLOCK_A
    )
    if BLOCK_B > 0:
        store_channels(
            y_ptr,
            acc_b,
            bias_ptr,
            where,
            kept,
            oc0 + BLOCK_A,
            out_channels,
            pixels,
            HAS_BIAS,
            BLOCK_B,
        )
