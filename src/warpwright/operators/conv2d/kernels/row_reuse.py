"""Convolution over padded NHWC input where a block makes several output rows of each input tile.

Output rows y and y + STEP use the same input rows for neighbouring vertical taps, where STEP is
the vertical dilation over the vertical stride. A tile of one input row and one horizontal tap is
loaded once and multiplied for every output row that it belongs to: the traffic of input from L2
falls by almost the number of rows. Rows at the edge of the block belong to fewer outputs; loops of
their own avoid multiplying by zeros (which would make NaN of Inf besides).

Accumulators are [BLOCK_OC, BLOCK_P]: pixels along N, so that both operands of the tensor core stay
in shared memory as they are loaded. The padding is written out, so no load has a mask.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.epilogue import bias_of, pointwise
from warpwright.operators.conv2d.kernels.layout import in_its_layout, output_size
from warpwright.operators.conv2d.kernels.prepass import packed_taps, padded_nhwc


@triton.jit
def store_row(
    y_ptr,
    acc,
    bias_ptr,
    oc,
    px,
    y,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Stores acc [channels, pixels] to row y of one image; y_ptr is where the image begins."""
    acc += bias_of(bias_ptr, oc, OC, HAS_BIAS)[:, None]
    acc = pointwise(acc)
    inside = (oc < OC)[:, None] & (px < OW)[None, :] & (y < OH)
    if CHANNELS_LAST:
        where = oc[:, None] + ((y * OW + px) * OC)[None, :]
    else:
        where = (oc * (OH * OW))[:, None] + (y * OW + px)[None, :]
    if EARLY:
        # Nobody reads the output here: it should leave L2 before what is still to be read.
        tl.store(y_ptr + where, acc, mask=inside, eviction_policy="evict_first")
    else:
        tl.store(y_ptr + where, acc, mask=inside)


@triton.jit
def make_rows(
    x_ptr,  # [batch, PADDED_H, PADDED_W, C], by padded_nhwc, and room for what lies beyond
    w_ptr,  # [KH·KW, OC, C], by pack_taps
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    kernel_w,  # KW; loops whose number of steps the compiler knew would be unrolled, and spill
    oc0,
    px0,
    y,
    batch,  # int64
    C: tl.constexpr,
    PADDED_H: tl.constexpr,
    PADDED_W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    ROWS: tl.constexpr,  # output rows of a block: 2 or 3, at most KH
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
    EARLY: tl.constexpr,  # store the first row before the last loop, beside which it then drains
):
    """Rows y, y + STEP, … of BLOCK_OC channels from oc0 on by BLOCK_P pixels from px0 on."""
    STEP: tl.constexpr = DIL_H // SH
    CHUNKS: tl.constexpr = C // BLOCK_C
    ROW: tl.constexpr = PADDED_W * C * DIL_H  # from one vertical tap to the next
    TAP: tl.constexpr = OC * C
    oc = oc0 + tl.arange(0, BLOCK_OC)
    px = px0 + tl.arange(0, BLOCK_P)
    x_ptr += (batch * PADDED_H + y * SH) * (PADDED_W * C) + px0 * (SW * C)
    w_ptr += oc0 * C
    # Offsets within a tile are of 64 bits so that the compiler may keep one address a thread and
    # reach the other rows of the tile by constants; of 32 bits they would fill its registers.
    rc = tl.arange(0, BLOCK_C).to(tl.int64)[None, :]
    x_tile = (tl.arange(0, BLOCK_P).to(tl.int64) * (SW * C))[:, None] + rc
    w_tile = (tl.arange(0, BLOCK_OC).to(tl.int64) * C)[:, None] + rc
    w_inside = (oc < OC)[:, None]  # with OC % BLOCK_OC = 0 the compiler drops this mask
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    if ROWS == 3:
        acc2 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    # The first input row serves the first output row alone, and with three rows of output the
    # last one the last alone: both in one loop.
    for t in tl.range(0, kernel_w * CHUNKS, num_stages=EDGE_STAGES):
        kx = t // CHUNKS
        c = t % CHUNKS * BLOCK_C
        x_at = x_ptr + (kx * (DIL_W * C) + c)
        w_at = w_ptr + (kx * TAP + c)
        x = tl.load(x_at + x_tile)
        w = tl.load(w_at + w_tile, mask=w_inside, other=0.0)
        acc0 = tl.dot(w, x.T, acc0)
        if ROWS == 3:
            x = tl.load(x_at + (KH + 1) * ROW + x_tile)
            w = tl.load(w_at + (KH - 1) * KW * TAP + w_tile, mask=w_inside, other=0.0)
            acc2 = tl.dot(w, x.T, acc2)
    if ROWS == 3:
        for t in tl.range(0, kernel_w * CHUNKS):
            kx = t // CHUNKS
            c = t % CHUNKS * BLOCK_C
            w_at = w_ptr + (kx * TAP + c)
            x = tl.load(x_ptr + (ROW + kx * (DIL_W * C) + c) + x_tile)
            w = tl.load(w_at + KW * TAP + w_tile, mask=w_inside, other=0.0)
            acc0 = tl.dot(w, x.T, acc0)
            w = tl.load(w_at + w_tile, mask=w_inside, other=0.0)
            acc1 = tl.dot(w, x.T, acc1)
    # Input rows that serve every output row.
    for t in tl.range(0, (KH - ROWS + 1) * kernel_w * CHUNKS):
        kx = t // CHUNKS % KW
        r = t // (CHUNKS * KW) + (ROWS - 1)
        c = t % CHUNKS * BLOCK_C
        x = tl.load(x_ptr + (r * ROW + kx * (DIL_W * C) + c) + x_tile)
        w_at = w_ptr + ((r * KW + kx) * TAP + c)
        w = tl.load(w_at + w_tile, mask=w_inside, other=0.0)
        acc0 = tl.dot(w, x.T, acc0)
        w = tl.load(w_at - KW * TAP + w_tile, mask=w_inside, other=0.0)
        acc1 = tl.dot(w, x.T, acc1)
        if ROWS == 3:
            w = tl.load(w_at - 2 * KW * TAP + w_tile, mask=w_inside, other=0.0)
            acc2 = tl.dot(w, x.T, acc2)
    y_ptr += batch * (OC * OH * OW)
    if EARLY:
        store_row(y_ptr, acc0, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, EARLY)
    for t in tl.range(0, kernel_w * CHUNKS):
        kx = t // CHUNKS
        c = t % CHUNKS * BLOCK_C
        x = tl.load(x_ptr + (KH * ROW + kx * (DIL_W * C) + c) + x_tile)
        w_at = w_ptr + (((KH - 1) * KW + kx) * TAP + c)
        w = tl.load(w_at + w_tile, mask=w_inside, other=0.0)
        acc1 = tl.dot(w, x.T, acc1)
        if ROWS == 3:
            w = tl.load(w_at - KW * TAP + w_tile, mask=w_inside, other=0.0)
            acc2 = tl.dot(w, x.T, acc2)
    if not EARLY:
        store_row(y_ptr, acc0, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, EARLY)
    store_row(y_ptr, acc1, bias_ptr, oc, px, y + STEP, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, EARLY)
    if ROWS == 3:
        y += 2 * STEP
        store_row(y_ptr, acc2, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, EARLY)


@triton.jit
def conv_rows(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    kernel_w,
    C: tl.constexpr,
    PADDED_H: tl.constexpr,
    PADDED_W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    ROWS: tl.constexpr,  # output rows of a block: 2 or 3, at most KH
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
):
    """Arguments are those of make_rows. The grid is (tiles of an image, images)."""
    STEP: tl.constexpr = DIL_H // SH
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    PX_BLOCKS: tl.constexpr = (OW + BLOCK_P - 1) // BLOCK_P
    pid = tl.program_id(0)
    # Rows y, y + STEP, … y + (ROWS-1)·STEP form a group; STEP groups interleave.
    group = pid // (OC_BLOCKS * PX_BLOCKS)
    make_rows(
        x_ptr,
        w_ptr,
        bias_ptr,
        y_ptr,
        kernel_w,
        pid % OC_BLOCKS * BLOCK_OC,
        pid // OC_BLOCKS % PX_BLOCKS * BLOCK_P,
        group // STEP * (STEP * ROWS) + group % STEP,
        tl.program_id(1).to(tl.int64),
        C,
        PADDED_H,
        PADDED_W,
        OC,
        OH,
        OW,
        KH,
        KW,
        SH,
        SW,
        DIL_H,
        DIL_W,
        HAS_BIAS,
        CHANNELS_LAST,
        ROWS,
        BLOCK_OC,
        BLOCK_P,
        BLOCK_C,
        EDGE_STAGES,
        EARLY=False,
    )


def conv2d_rows(x, weight, bias, stride, padding, dilation, packed_c):
    """conv2d of x [B, C, H, W] with weight [OC, C, KH, KW]; padding: (top, left, bottom, right).

    The vertical stride divides the vertical dilation. packed_c: channels with zeros added.
    """
    x, channels_last = in_its_layout(x)
    weight = weight.contiguous()
    batch, _, _, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    _, left, _, right = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty(
        (batch, out_channels, out_h, out_w),
        device=x.device,
        dtype=x.dtype,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    rounded = x.dtype == torch.float32
    packed = packed_taps(weight, packed_c, rounded)
    # The last blocks of pixels and of rows read past the end; what they make of it is not stored.
    beyond = 256 * stride[1] + 3 * dilation[0] * (width + left + right + 8)
    padded, padded_h, padded_w = padded_nhwc(x, padding, packed_c, beyond)
    step = dilation[0] // stride[0]
    grid = lambda meta: (
        triton.cdiv(out_channels, meta["BLOCK_OC"])
        * triton.cdiv(out_w, meta["BLOCK_P"])
        * (step * triton.cdiv(out_h, step * meta["ROWS"])),
        batch,
    )
    conv_rows[grid](
        padded,
        packed,
        bias,
        y,
        kernel_w,
        C=packed_c,
        PADDED_H=padded_h,
        PADDED_W=padded_w,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        KH=kernel_h,
        KW=kernel_w,
        SH=stride[0],
        SW=stride[1],
        DIL_H=dilation[0],
        DIL_W=dilation[1],
        HAS_BIAS=bias is not None,
        CHANNELS_LAST=channels_last,
    )
    return y
