"""Convolution over NHWC input where a block makes several output rows from each input tile.

Output rows y and y + step use the same input rows for neighbouring vertical taps, where step is
the dilation over the stride. A tile of one input row and one horizontal tap is loaded once and
multiplied for every output row that it belongs to, so that L2 traffic falls by almost the number
of rows. Rows at the edge of the block belong to fewer outputs; loops of their own avoid
multiplying by zeros.

x: descriptor of [B, H, W, C], box [1, 1, BLOCK_P, BLOCK_C]; outside of it are zeros.
w: descriptor of [KH·KW·OC, C], box [BLOCK_OC, BLOCK_C], rows ordered (ky, kx, o).
y: [B, OC, OH, OW]. Accumulators are [BLOCK_OC, BLOCK_P]: pixels along N, so that both operands
of the tensor core stay in shared memory as they are loaded.
"""

import triton
import triton.language as tl


@triton.jit
def x_tile(x_desc, batch, iy, ix, c, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    return x_desc.load([batch, iy, ix, c]).reshape([BLOCK_P, BLOCK_C])


@triton.jit
def store_row(
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
    inside = (oc[:, None] < out_channels) & (px[None, :] < out_w) & (y < out_h)
    tl.store(base + oc[:, None] * (out_h * out_w) + px[None, :], acc + bias[:, None], mask=inside)


@triton.jit
def place(px_blocks, oc_blocks, out_h, STEP: tl.constexpr, ROWS: tl.constexpr):
    """(batch, first output row, px block, oc block) of this program; px blocks run fastest."""
    pid = tl.program_id(0)
    oc_block = pid % oc_blocks
    pid = pid // oc_blocks
    px_block = pid % px_blocks
    group = pid // px_blocks
    # Rows y, y + STEP, … y + (ROWS-1)·STEP form a group; STEP groups interleave.
    y0 = group // STEP * (STEP * ROWS) + group % STEP
    return tl.program_id(1), y0, px_block, oc_block


@triton.jit
def bias_row(bias_ptr, oc0, out_channels, HAS_BIAS: tl.constexpr, BLOCK_OC: tl.constexpr):
    oc = oc0 + tl.arange(0, BLOCK_OC)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + oc, mask=oc < out_channels, other=0.0).to(tl.float32)
    else:
        bias = tl.zeros([BLOCK_OC], dtype=tl.float32)
    return bias


@triton.jit
def conv_two_rows(
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
    EDGES: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    STAGES: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
):
    """Two output rows, horizontal stride 1. EDGES says how the first and last input row go:

    0  in the main loop, with taps outside of the kernel read as zeros (past the end of w): only to
       compare with, since zero times Inf is NaN in outputs that do not touch the Inf
    1  in two loops of their own, one product a step
    2  together in one loop of their own, two products a step of two input tiles
    """
    batch, y0, px_block, oc_block = place(px_blocks, oc_blocks, out_h, STEP, 2)
    px0 = px_block * BLOCK_P
    oc0 = oc_block * BLOCK_OC
    iy0 = y0 * SH - PAD_H
    ix0 = px0 - PAD_W
    chunks: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    last_iy = iy0 + KH * DIL_H
    if EDGES == 1:
        for t in tl.range(0, KW * chunks, num_stages=EDGE_STAGES):
            kx = t // chunks
            c = t % chunks * BLOCK_C
            x = x_tile(x_desc, batch, iy0, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
            acc0 = tl.dot(w_desc.load([kx * OC + oc0, c]), x.T, acc0)
    if EDGES == 2:
        for t in tl.range(0, KW * chunks, num_stages=EDGE_STAGES):
            kx = t // chunks
            c = t % chunks * BLOCK_C
            ix = ix0 + kx * DIL_W
            first = x_tile(x_desc, batch, iy0, ix, c, BLOCK_P, BLOCK_C)
            last = x_tile(x_desc, batch, last_iy, ix, c, BLOCK_P, BLOCK_C)
            acc0 = tl.dot(w_desc.load([kx * OC + oc0, c]), first.T, acc0)
            acc1 = tl.dot(w_desc.load([((KH - 1) * KW + kx) * OC + oc0, c]), last.T, acc1)
    first_row: tl.constexpr = 0 if EDGES == 0 else 1
    rows: tl.constexpr = KH + 1 if EDGES == 0 else KH - 1
    for t in tl.range(0, rows * KW * chunks, num_stages=STAGES):
        kx = t // chunks % KW
        r = t // (chunks * KW) + first_row
        c = t % chunks * BLOCK_C
        x = x_tile(x_desc, batch, iy0 + r * DIL_H, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
        # A negative row of w and one past its end are zeros.
        acc0 = tl.dot(w_desc.load([(r * KW + kx) * OC + oc0, c]), x.T, acc0)
        acc1 = tl.dot(w_desc.load([((r - 1) * KW + kx) * OC + oc0, c]), x.T, acc1)
    if EDGES == 1:
        for t in tl.range(0, KW * chunks, num_stages=EDGE_STAGES):
            kx = t // chunks
            c = t % chunks * BLOCK_C
            x = x_tile(x_desc, batch, last_iy, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
            acc1 = tl.dot(w_desc.load([((KH - 1) * KW + kx) * OC + oc0, c]), x.T, acc1)
    bias = bias_row(bias_ptr, oc0, out_channels, HAS_BIAS, BLOCK_OC)
    store_row(y_ptr, acc0, bias, batch, oc0, y0, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P)
    store_row(
        y_ptr, acc1, bias, batch, oc0, y0 + STEP, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P
    )


@triton.jit
def conv_two_rows_padded(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    padded_h,
    padded_w,
    out_channels,
    out_h,
    out_w,
    px_blocks,
    oc_blocks,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    STEP: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    OC: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    STAGES: tl.constexpr,
):
    """conv_two_rows (three loops) with pointers instead of descriptors, and no masks.

    x: [B, padded_h, padded_w, C] with the padding written into it, followed by room for BLOCK_P
    pixels and the rows that a last, incomplete group would read. What such reads give is not
    stored. C is a multiple of BLOCK_C. w: [KH·KW, OC, C].
    """
    batch, y0, px_block, oc_block = place(px_blocks, oc_blocks, out_h, STEP, 2)
    px0 = px_block * BLOCK_P
    oc0 = oc_block * BLOCK_OC
    chunks: tl.constexpr = C // BLOCK_C
    rc = tl.arange(0, BLOCK_C)
    x_ptr += (batch.to(tl.int64) * padded_h + y0 * SH) * padded_w * C
    x_ptrs = x_ptr + ((px0 + tl.arange(0, BLOCK_P)) * C)[:, None] + rc[None, :]
    w_ptrs = w_ptr + ((oc0 + tl.arange(0, BLOCK_OC)) * C)[:, None] + rc[None, :]
    row = padded_w * (DIL_H * C)
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        x = tl.load(x_ptrs + (kx * (DIL_W * C) + c))
        acc0 = tl.dot(tl.load(w_ptrs + (kx * (OC * C) + c)), x.T, acc0)
    for t in tl.range(0, (KH - 1) * KW * chunks, num_stages=STAGES):
        kx = t // chunks % KW
        r = t // (chunks * KW) + 1
        c = t % chunks * BLOCK_C
        x = tl.load(x_ptrs + (r * row + kx * (DIL_W * C) + c))
        acc0 = tl.dot(tl.load(w_ptrs + ((r * KW + kx) * (OC * C) + c)), x.T, acc0)
        acc1 = tl.dot(tl.load(w_ptrs + (((r - 1) * KW + kx) * (OC * C) + c)), x.T, acc1)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        x = tl.load(x_ptrs + (KH * row + kx * (DIL_W * C) + c))
        acc1 = tl.dot(tl.load(w_ptrs + (((KH - 1) * KW + kx) * (OC * C) + c)), x.T, acc1)
    bias = bias_row(bias_ptr, oc0, out_channels, HAS_BIAS, BLOCK_OC)
    store_row(y_ptr, acc0, bias, batch, oc0, y0, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P)
    store_row(
        y_ptr, acc1, bias, batch, oc0, y0 + STEP, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P
    )


@triton.jit
def conv_three_rows(
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
    EDGE_STAGES: tl.constexpr,
):
    """Three output rows: KH - 2 input rows serve all three, two at each end fewer."""
    batch, y0, px_block, oc_block = place(px_blocks, oc_blocks, out_h, STEP, 3)
    px0 = px_block * BLOCK_P
    oc0 = oc_block * BLOCK_OC
    iy0 = y0 * SH - PAD_H
    ix0 = px0 - PAD_W
    chunks: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc2 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    # The outermost input rows serve one output row each: both in one loop, two products a step.
    for t in tl.range(0, KW * chunks, num_stages=EDGE_STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        ix = ix0 + kx * DIL_W
        head = x_tile(x_desc, batch, iy0, ix, c, BLOCK_P, BLOCK_C)
        tail = x_tile(x_desc, batch, iy0 + (KH + 1) * DIL_H, ix, c, BLOCK_P, BLOCK_C)
        acc0 = tl.dot(w_desc.load([kx * OC + oc0, c]), head.T, acc0)
        acc2 = tl.dot(w_desc.load([((KH - 1) * KW + kx) * OC + oc0, c]), tail.T, acc2)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        x = x_tile(x_desc, batch, iy0 + DIL_H, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
        acc0 = tl.dot(w_desc.load([(KW + kx) * OC + oc0, c]), x.T, acc0)
        acc1 = tl.dot(w_desc.load([kx * OC + oc0, c]), x.T, acc1)
    for t in tl.range(0, (KH - 2) * KW * chunks, num_stages=STAGES):
        kx = t // chunks % KW
        r = t // (chunks * KW) + 2
        c = t % chunks * BLOCK_C
        x = x_tile(x_desc, batch, iy0 + r * DIL_H, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
        acc0 = tl.dot(w_desc.load([(r * KW + kx) * OC + oc0, c]), x.T, acc0)
        acc1 = tl.dot(w_desc.load([((r - 1) * KW + kx) * OC + oc0, c]), x.T, acc1)
        acc2 = tl.dot(w_desc.load([((r - 2) * KW + kx) * OC + oc0, c]), x.T, acc2)
    for t in tl.range(0, KW * chunks, num_stages=STAGES):
        kx = t // chunks
        c = t % chunks * BLOCK_C
        x = x_tile(x_desc, batch, iy0 + KH * DIL_H, ix0 + kx * DIL_W, c, BLOCK_P, BLOCK_C)
        acc1 = tl.dot(w_desc.load([((KH - 1) * KW + kx) * OC + oc0, c]), x.T, acc1)
        acc2 = tl.dot(w_desc.load([((KH - 2) * KW + kx) * OC + oc0, c]), x.T, acc2)
    bias = bias_row(bias_ptr, oc0, out_channels, HAS_BIAS, BLOCK_OC)
    store_row(y_ptr, acc0, bias, batch, oc0, y0, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P)
    store_row(
        y_ptr, acc1, bias, batch, oc0, y0 + STEP, px0, out_channels, out_h, out_w, BLOCK_OC, BLOCK_P
    )
    store_row(
        y_ptr,
        acc2,
        bias,
        batch,
        oc0,
        y0 + 2 * STEP,
        px0,
        out_channels,
        out_h,
        out_w,
        BLOCK_OC,
        BLOCK_P,
    )
