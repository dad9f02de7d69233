"""Row reuse straight from NCHW input: no pre-pass; the tile is turned and rounded in registers.

The tensor memory accelerator reads [BLOCK_C, BLOCK_P] tiles at any pixel offset and fills zeros
outside of the image. TF32 operands in shared memory must have the reduced dimension innermost, so
the tile becomes the register operand (pixels along M), which is also where it is rounded. Each
tile serves two output rows.

x: descriptor of [B, C, H, W], box [1, BLOCK_C, 1, BLOCK_P].
w: descriptor of [KH·KW·OC, C], box [BLOCK_OC, BLOCK_C], rounded, rows ordered (ky, kx, o).
"""

import triton
import triton.language as tl

from warpwright.proposers.schedules.conv2d.kernels.prepass import round_tf32
from warpwright.proposers.schedules.conv2d.kernels.row_reuse import bias_row, place


@triton.jit
def x_columns(
    x_desc, batch, iy, ix, c, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, ROUND: tl.constexpr
):
    x = x_desc.load([batch, c, iy, ix]).reshape([BLOCK_C, BLOCK_P])
    if ROUND:
        x = round_tf32(x)
    return x.T


@triton.jit
def store_pixels(
    y_ptr,
    acc,
    bias,
    batch,
    oc0,
    y,
    px0,
    out_channels,
    out_h,
    out_w,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    oc = oc0 + tl.arange(0, BLOCK_OC)
    px = px0 + tl.arange(0, BLOCK_P)
    base = y_ptr + batch.to(tl.int64) * out_channels * out_h * out_w + y * out_w
    inside = (oc[None, :] < out_channels) & (px[:, None] < out_w) & (y < out_h)
    tl.store(base + oc[None, :] * (out_h * out_w) + px[:, None], acc + bias[None, :], mask=inside)


@triton.jit
def conv_two_rows_nchw(
    x_desc,
    w_desc,
    bias_ptr,
    y_ptr,
    out_channels,
    out_h,
    out_w,
    px_blocks,
    oc_blocks,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    STEP: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    OC: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    STAGES: tl.constexpr,
    ROUND: tl.constexpr,
):
    batch, y0, px_block, oc_block = place(px_blocks, oc_blocks, out_h, STEP, 2)
    px0 = px_block * BLOCK_P
    oc0 = oc_block * BLOCK_OC
    iy0 = y0 * SH - PAD_H
    ix0 = px0 - PAD_W
    chunks: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    acc0 = tl.zeros([BLOCK_P, BLOCK_OC], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_P, BLOCK_OC], dtype=tl.float32)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        x = x_columns(x_desc, batch, iy0, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C, ROUND)
        acc0 = tl.dot(x, w_desc.load([kx * OC + oc0, c]).T, acc0)
    for t in tl.range(0, (KH - 1) * KW * chunks, num_stages=STAGES):
        kx = t // chunks % KW
        r = t // (chunks * KW) + 1
        c = t % chunks * BLOCK_C
        x = x_columns(x_desc, batch, iy0 + r * DIL_H, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C, ROUND)
        acc0 = tl.dot(x, w_desc.load([(r * KW + kx) * OC + oc0, c]).T, acc0)
        acc1 = tl.dot(x, w_desc.load([((r - 1) * KW + kx) * OC + oc0, c]).T, acc1)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        ix = ix0 + kx * DIL_W
        x = x_columns(x_desc, batch, iy0 + KH * DIL_H, ix, c, BLOCK_P, BLOCK_C, ROUND)
        acc1 = tl.dot(x, w_desc.load([((KH - 1) * KW + kx) * OC + oc0, c]).T, acc1)
    bias = bias_row(bias_ptr, oc0, out_channels, HAS_BIAS, BLOCK_OC)
    store_pixels(
        y_ptr, acc0, bias, batch, oc0, y0, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P
    )
    store_pixels(
        y_ptr, acc1, bias, batch, oc0, y0 + STEP, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P
    )
