"""Depthwise convolution: each output plane from one input plane, on fp32 accumulators.

Bound by memory, so what counts is that each input row is asked for seldom: a thread makes ROWS
output rows of its column, loads each input value of a kernel column once, and feeds it to every
output row that touches it. Neighbouring kernel columns overlap in L1.

A plane is a channel of an image; output plane n comes from input plane n // MULTIPLIER.
"""

import triton
import triton.language as tl


@triton.jit
def feed(
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
                tap: tl.constexpr = ROW // DIL_H * KW + KX
                w = tl.load(w_at + tap, mask=kept, other=0.0).to(tl.float32)
                acc += x * w[:, None]
    return acc


@triton.jit
def conv_depthwise(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    planes,
    OC: tl.constexpr,
    MULTIPLIER: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUT_H: tl.constexpr,
    OUT_W: tl.constexpr,
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
    VECTOR: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """BLOCK_N planes by BLOCK_P columns of ROWS output rows; a column is (row group, x).

    VECTOR is the number of neighbouring columns a thread may load or store at once.
    """
    row_groups: tl.constexpr = (OUT_H + ROWS - 1) // ROWS
    blocks: tl.constexpr = (row_groups * OUT_W + BLOCK_P - 1) // BLOCK_P
    n = tl.program_id(0) // blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    p = tl.program_id(0) % blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    p = tl.max_contiguous(p, VECTOR)
    kept = n < planes
    y0 = p // OUT_W * ROWS
    ox = p % OUT_W
    oc = n % OC
    w_at = w_ptr + oc * (KH * KW)
    x_at = x_ptr + (n // MULTIPLIER).to(tl.int64)[:, None] * (HEIGHT * WIDTH)
    iy0 = y0 * SH - PAD_H
    ix0 = ox * SW - PAD_W
    bias = tl.zeros([BLOCK_N], dtype=tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + oc, mask=kept, other=0.0).to(tl.float32)
    start = bias[:, None] + tl.zeros([BLOCK_N, BLOCK_P], dtype=tl.float32)
    accs = (start,)
    for _ in tl.static_range(1, ROWS):
        accs = accs + (start,)
    for row in tl.static_range((ROWS - 1) * SH + (KH - 1) * DIL_H + 1):
        iy = iy0 + row
        for kx in tl.static_range(KW):
            ix = ix0 + kx * DIL_W
            inside = (iy >= 0) & (iy < HEIGHT) & (ix >= 0) & (ix < WIDTH)
            x = tl.load(
                x_at + (iy * WIDTH + ix)[None, :], mask=kept[:, None] & inside[None, :], other=0.0
            ).to(tl.float32)
            fed = (feed(accs[0], x, w_at, kept, row, kx, KH, KW, DIL_H),)
            for r in tl.static_range(1, ROWS):
                fed = fed + (feed(accs[r], x, w_at, kept, row - r * SH, kx, KH, KW, DIL_H),)
            accs = fed
    y_at = y_ptr + n.to(tl.int64)[:, None] * (OUT_H * OUT_W)
    for r in tl.static_range(ROWS):
        oy = y0 + r
        where = y_at + (oy * OUT_W + ox)[None, :]
        inside = kept[:, None] & (oy < OUT_H)[None, :]
        tl.store(where, accs[r].to(y_ptr.dtype.element_ty), mask=inside)
