"""Convolution over an input made by space_to_depth: stride 1, few taps, C·SH·SW channels.

The KX taps of one kernel row are one run of KX·DEPTH neighbouring values, so the reduced dimension
is KY runs. No bounds to check: the pre-pass wrote the padding. Where stride does not divide the
kernel, its last cells hold taps that do not exist; their weights are zero.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.direct import store_channels
from warpwright.operators.conv2d.kernels.layout import output_size
from warpwright.operators.conv2d.kernels.prepass import pack_cells, space_to_depth


@triton.jit
def window_offsets(
    k, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, KX: tl.constexpr, BLOCK_K: tl.constexpr
):
    """Where taps k (a run of BLOCK_K) lie, from the first value of a pixel's window."""
    RUN: tl.constexpr = KX * DEPTH
    rk = tl.arange(0, BLOCK_K)
    if RUN % BLOCK_K == 0:
        # A step lies within one run. DEPTH is a multiple of 16 bytes, which the compiler
        # cannot see through the division.
        offset = tl.multiple_of(k // RUN * (COLUMNS * DEPTH) + k % RUN, 16) + rk
    else:
        offset = (k + rk) // RUN * (COLUMNS * DEPTH) + (k + rk) % RUN
    return offset


@triton.jit
def conv_depth_window(
    x_ptr,  # [batch, ROWS, COLUMNS, DEPTH], by space_to_depth
    w_ptr,  # packed: [OC, K], by pack_cells
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    batch,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    SHIFT: tl.constexpr,  # columns of a window's first cells that lie before the window
    K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    WIDE: tl.constexpr,  # offsets of 64 bits
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
    THROUGH_L1: tl.constexpr,
):
    PIXELS: tl.constexpr = OH * OW
    KY: tl.constexpr = (KH + SH - 1) // SH
    KX: tl.constexpr = (KW + SHIFT + SW - 1) // SW
    USED: tl.constexpr = KY * KX * DEPTH
    block = tl.program_id(0)
    if WIDE:
        block = block.to(tl.int64)
    m = block * BLOCK_M + tl.arange(0, BLOCK_M)
    kept = m < batch * PIXELS
    b = m // PIXELS
    p = (m % PIXELS).to(tl.int32)
    start = b * (ROWS * COLUMNS * DEPTH) + (p // OW * COLUMNS + p % OW) * DEPTH
    start = tl.where(kept, start, 0)
    if DEPTH % 16 == 0:
        start = tl.multiple_of(start, 16)
    oc0 = tl.program_id(1) * (BLOCK_A + BLOCK_B)
    rk = tl.arange(0, BLOCK_K)
    oc_a = oc0 + tl.arange(0, BLOCK_A)
    w_a = w_ptr + oc_a[:, None] * K + rk[None, :]
    acc_a = tl.zeros([BLOCK_M, BLOCK_A], dtype=tl.float32)
    if BLOCK_B > 0:
        oc_b = oc0 + BLOCK_A + tl.arange(0, BLOCK_B)
        w_b = w_ptr + oc_b[:, None] * K + rk[None, :]
        acc_b = tl.zeros([BLOCK_M, BLOCK_B], dtype=tl.float32)
    for k0 in tl.range(0, USED, BLOCK_K):
        offset = window_offsets(k0, COLUMNS, DEPTH, KX, BLOCK_K)
        if THROUGH_L1:
            # Loads of 16 bytes go past L1, which could serve the overlap of windows. A mask that
            # the compiler knows to be equal for two neighbours only halves them.
            inside = ((k0 + rk) // 2 < USED // 2)[None, :]
            x = tl.load(x_ptr + (start[:, None] + offset[None, :]), mask=inside, other=0.0)
        elif USED % BLOCK_K == 0:
            x = tl.load(x_ptr + (start[:, None] + offset[None, :]))
        else:
            inside = (k0 + rk < USED)[None, :]
            x = tl.load(x_ptr + (start[:, None] + offset[None, :]), mask=inside, other=0.0)
        # With OC % BLOCK = 0 the compiler drops these masks.
        w = tl.load(w_a + k0, mask=(oc_a < OC)[:, None], other=0.0)
        acc_a = tl.dot(x, w.T, acc_a)
        if BLOCK_B > 0:
            w = tl.load(w_b + k0, mask=(oc_b < OC)[:, None], other=0.0)
            acc_b = tl.dot(x, w.T, acc_b)
    if KH % SH != 0 or KW % SW != 0:
        # A weight of zero times Inf or NaN is NaN: where one has come up, once more with the taps
        # that do not exist cut out. It is as good as never taken.
        bad = tl.max((acc_a != acc_a).to(tl.int32))
        if BLOCK_B > 0:
            bad = tl.maximum(bad, tl.max((acc_b != acc_b).to(tl.int32)))
        if bad > 0:
            acc_a = tl.zeros([BLOCK_M, BLOCK_A], dtype=tl.float32)
            if BLOCK_B > 0:
                acc_b = tl.zeros([BLOCK_M, BLOCK_B], dtype=tl.float32)
            STEP: tl.constexpr = 16
            rs = tl.arange(0, STEP)
            for k0 in tl.range(0, USED, STEP, num_stages=1):
                k = k0 + rs
                ky = k // (DEPTH * KX) * SH + k % DEPTH // SW % SH
                kx = k // DEPTH % KX * SW + k % DEPTH % SW - SHIFT
                inside = ((k < USED) & (ky < KH) & (kx >= 0) & (kx < KW))[None, :]
                offset = window_offsets(k0, COLUMNS, DEPTH, KX, STEP)
                x = tl.load(x_ptr + (start[:, None] + offset[None, :]), mask=inside, other=0.0)
                w = tl.load(w_ptr + oc_a[:, None] * K + k, mask=(oc_a < OC)[:, None], other=0.0)
                acc_a = tl.dot(x, w.T, acc_a)
                if BLOCK_B > 0:
                    w = tl.load(w_ptr + oc_b[:, None] * K + k, mask=(oc_b < OC)[:, None], other=0.0)
                    acc_b = tl.dot(x, w.T, acc_b)
    where = b * (OC * PIXELS) + p
    store_channels(y_ptr, acc_a, bias_ptr, where, kept, oc_a, OC, OC, PIXELS, HAS_BIAS)
    if BLOCK_B > 0:
        store_channels(y_ptr, acc_b, bias_ptr, where, kept, oc_b, OC, OC, PIXELS, HAS_BIAS)


def conv2d_depth_window(x, weight, bias, stride, padding, dilation):
    """conv2d of x [B, C, H, W] with weight [OC, C, KH, KW]; padding: (top, left, bottom, right).

    Dilation 1; the horizontal stride is a power of two.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    rounded = x.dtype == torch.float32
    cells_h = triton.cdiv(kernel_h, stride[0])
    cells_w = triton.cdiv(kernel_w, stride[1])
    # Cells may begin left of the windows: with 4 columns, or 2, before each row, loads are wide.
    shift = -left % 4
    if triton.cdiv(kernel_w + shift, stride[1]) > cells_w:
        shift = left % 2 if kernel_w % stride[1] else 0
    rows, columns = out_h + cells_h - 1, out_w + cells_w - 1
    align = 16 // x.element_size()  # so that every cell begins where a load of 16 bytes may
    depth = triton.cdiv(channels * stride[0] * stride[1], align) * align
    k = triton.cdiv(cells_h * cells_w * depth, 64) * 64  # every BLOCK_K divides it
    packed = torch.empty((out_channels, k), device=x.device, dtype=x.dtype)
    pack_cells[(triton.cdiv(k, 256), out_channels)](
        weight,
        packed,
        channels,
        k,
        kernel_h,
        kernel_w,
        cells_w,
        depth,
        SH=stride[0],
        SW=stride[1],
        SHIFT=shift,
        BLOCK=256,
        ROUND=rounded,
    )
    deep = torch.empty((batch, rows, columns, depth), device=x.device, dtype=x.dtype)
    block_cs = triton.next_power_of_2(triton.cdiv(depth, stride[1]))
    block_w = min(triton.next_power_of_2(columns), max(16, 4096 // (block_cs * stride[1])))
    space_to_depth[(rows, triton.cdiv(columns, block_w), batch)](
        x,
        deep,
        height,
        rows,
        columns,
        WIDTH=width,
        PAD_H=top,
        PAD_W=left + shift,
        C=channels,
        SH=stride[0],
        SW=stride[1],
        DEPTH=depth,
        BLOCK_CS=block_cs,
        BLOCK_W=block_w,
        ROUND=rounded,
        num_warps=8,
    )
    grid = lambda meta: (
        triton.cdiv(batch * out_h * out_w, meta["BLOCK_M"]),
        triton.cdiv(out_channels, meta["BLOCK_A"] + meta["BLOCK_B"]),
    )
    conv_depth_window[grid](
        deep,
        packed,
        bias,
        y,
        batch,
        ROWS=rows,
        COLUMNS=columns,
        DEPTH=depth,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        KH=kernel_h,
        KW=kernel_w,
        SH=stride[0],
        SW=stride[1],
        SHIFT=shift,
        K=k,
        HAS_BIAS=bias is not None,
        WIDE=max(deep.numel(), y.numel()) > 2**31 - 2**20,
    )
    return y
