"""Convolution over an input made by space_to_depth: stride 1, few taps, C·S·S channels.

The KX taps of one kernel row are one run of KX·DEPTH contiguous values, so the reduced dimension
is KY runs. No bounds to check: the pre-pass wrote the padding.

x: [B, ROWS, COLUMNS, DEPTH], rounded. w: [OC, K], K = KY·KX·DEPTH rounded up to a multiple of
BLOCK_K with zeros (order 2 of pack_weight).
"""

import triton
import triton.language as tl

from warpwright.proposers.schedules.conv2d.kernels.direct import store_channels


@triton.jit
def conv_depth_window(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    rows,
    columns,
    out_channels,
    out_h,
    out_w,
    DEPTH: tl.constexpr,
    KY: tl.constexpr,
    KX: tl.constexpr,
    K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
):
    pixels = out_h * out_w
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    kept = m < batch * pixels
    b = m // pixels
    p = m % pixels
    pitch = columns * DEPTH
    start = b * rows * pitch + p // out_w * pitch + p % out_w * DEPTH
    start = tl.multiple_of(tl.where(kept, start, 0), 16)
    oc0 = tl.program_id(1) * (BLOCK_A + BLOCK_B)
    rk = tl.arange(0, BLOCK_K)
    w_a = w_ptr + (oc0 + tl.arange(0, BLOCK_A))[:, None] * K + rk[None, :]
    acc_a = tl.zeros([BLOCK_M, BLOCK_A], dtype=tl.float32)
    if BLOCK_B > 0:
        w_b = w_ptr + (oc0 + BLOCK_A + tl.arange(0, BLOCK_B))[:, None] * K + rk[None, :]
        acc_b = tl.zeros([BLOCK_M, BLOCK_B], dtype=tl.float32)
    run: tl.constexpr = KX * DEPTH
    used: tl.constexpr = KY * KX * DEPTH
    for k0 in tl.range(0, K, BLOCK_K):
        k = k0 + rk
        if run % BLOCK_K == 0:
            offset = tl.multiple_of(k0 // run * pitch + k0 % run, 16) + rk
        else:
            offset = k // run * pitch + k % run
        if used % BLOCK_K == 0:
            x = tl.load(x_ptr + (start[:, None] + offset[None, :]))
        else:
            x = tl.load(
                x_ptr + (start[:, None] + offset[None, :]), mask=(k < used)[None, :], other=0.0
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


@triton.jit
def conv_depth_rows(
    x_desc,
    wa_desc,
    wb_desc,
    bias_ptr,
    y_ptr,
    out_channels,
    out_h,
    out_w,
    px_blocks,
    DEPTH: tl.constexpr,
    KX: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Three vertical taps; four output rows a block from four tiles of two rows each.

    Tile r holds rows r and r + 2. It serves output rows 0 and 2 (accumulators even_*) with
    vertical tap r, and rows 1 and 3 (odd_*) with tap r - 1: four loads where one tap a load
    would take six, and each weight is loaded once for all four rows.

    x_desc: [B, ROWS/2, 2, COLUMNS, DEPTH], box [1, 2, 1, BLOCK_P, BLOCK_C].
    wa_desc, wb_desc: [3·KX·OC, DEPTH], rows ordered (ky, kx, o), boxes of BLOCK_A and BLOCK_B rows.
    """
    pid = tl.program_id(0)
    px0 = pid % px_blocks * BLOCK_P
    y0 = pid // px_blocks * 4
    batch = tl.program_id(1)
    even_a = tl.zeros([2 * BLOCK_P, BLOCK_A], dtype=tl.float32)
    even_b = tl.zeros([2 * BLOCK_P, BLOCK_B], dtype=tl.float32)
    odd_a = tl.zeros([2 * BLOCK_P, BLOCK_A], dtype=tl.float32)
    odd_b = tl.zeros([2 * BLOCK_P, BLOCK_B], dtype=tl.float32)
    chunks: tl.constexpr = DEPTH // BLOCK_C
    half = y0 // 2
    for t in tl.range(0, KX * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        px = px0 + kx
        x0 = x_desc.load([batch, half, 0, px, c]).reshape([2 * BLOCK_P, BLOCK_C])
        x1 = x_desc.load([batch, half, 1, px, c]).reshape([2 * BLOCK_P, BLOCK_C])
        x2 = x_desc.load([batch, half + 1, 0, px, c]).reshape([2 * BLOCK_P, BLOCK_C])
        x3 = x_desc.load([batch, half + 1, 1, px, c]).reshape([2 * BLOCK_P, BLOCK_C])
        w0 = wa_desc.load([kx * OC, c]).T
        v0 = wb_desc.load([kx * OC + BLOCK_A, c]).T
        w1 = wa_desc.load([(KX + kx) * OC, c]).T
        v1 = wb_desc.load([(KX + kx) * OC + BLOCK_A, c]).T
        w2 = wa_desc.load([(2 * KX + kx) * OC, c]).T
        v2 = wb_desc.load([(2 * KX + kx) * OC + BLOCK_A, c]).T
        # Neighbouring products go to different accumulators, so that they need not wait.
        even_a = tl.dot(x0, w0, even_a)
        odd_a = tl.dot(x1, w0, odd_a)
        even_b = tl.dot(x0, v0, even_b)
        odd_b = tl.dot(x1, v0, odd_b)
        even_a = tl.dot(x1, w1, even_a)
        odd_a = tl.dot(x2, w1, odd_a)
        even_b = tl.dot(x1, v1, even_b)
        odd_b = tl.dot(x2, v1, odd_b)
        even_a = tl.dot(x2, w2, even_a)
        odd_a = tl.dot(x3, w2, odd_a)
        even_b = tl.dot(x2, v2, even_b)
        odd_b = tl.dot(x3, v2, odd_b)
    i = tl.arange(0, 2 * BLOCK_P)
    px = px0 + i % BLOCK_P
    y = y0 + i // BLOCK_P * 2
    pixels = out_h * out_w
    where = batch * (out_channels * pixels) + y * out_w + px
    inside = (px < out_w) & (y < out_h)
    odd_inside = (px < out_w) & (y + 1 < out_h)
    store_channels(
        y_ptr, even_a, bias_ptr, where, inside, 0, out_channels, pixels, HAS_BIAS, BLOCK_A
    )
    store_channels(
        y_ptr, even_b, bias_ptr, where, inside, BLOCK_A, out_channels, pixels, HAS_BIAS, BLOCK_B
    )
    store_channels(
        y_ptr,
        odd_a,
        bias_ptr,
        where + out_w,
        odd_inside,
        0,
        out_channels,
        pixels,
        HAS_BIAS,
        BLOCK_A,
    )
    store_channels(
        y_ptr,
        odd_b,
        bias_ptr,
        where + out_w,
        odd_inside,
        BLOCK_A,
        out_channels,
        pixels,
        HAS_BIAS,
        BLOCK_B,
    )
