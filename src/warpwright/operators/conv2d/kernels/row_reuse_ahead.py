"""Row reuse whose own launch rewrites the input to padded NHWC, some bands ahead of its readers.

A band is the DIL_H·ROWS padded input rows at which the windows of a slab begin: of STEP·ROWS
output rows, which PARTS blocks make. Work is numbered by tickets, in this order:

    LEAD bands to copy; then for each band of each image: the blocks of its slab, and one more
    band to copy, LEAD further on.

So memory is busy with copies while tensor cores work, and a band is read while it is in L2.

Why it cannot deadlock. A ticket is drawn from a counter by a block that runs; the index of a block
would not do, since nothing says in which order blocks start. A block that waits, waits for bands
with lower tickets (LEAD is at least the bands of a window). Whoever drew those runs already, and
copies wait for nobody: they end, however few blocks the card holds at a time.

Why a block may read what another wrote in the same launch (PTX memory model, scope gpu):
1. The threads of the copying block store and meet at a barrier; then one of them adds to the band's
   flag with release semantics. The barrier puts the stores of all threads before that, and release
   is cumulative, so they happen before it for the whole device.
2. The reading block's threads that poll do so by atomics with acquire semantics, which synchronise
   with the release that they see. A barrier then hands that on to the other threads.
3. The loads after it (cp.async, of the generic proxy as ordinary loads are) are of addresses that
   this block has not read before and go past L1 to L2, so none is served by something older.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.layout import in_its_layout, output_size
from warpwright.operators.conv2d.kernels.prepass import (
    empty_taps,
    pack_taps,
    padded_width,
    round_tf32,
)
from warpwright.operators.conv2d.kernels.row_reuse import make_rows


@triton.jit
def pack_taps_and_clear(
    w_ptr,
    y_ptr,
    counters_ptr,
    counters,
    out_channels,
    channels,
    packed_channels,
    TAPS: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    EACH: tl.constexpr,
    ROUND: tl.constexpr,
):
    """pack_taps, and zeros for the launch that follows: each block clears EACH counters."""
    pack_taps(
        w_ptr, y_ptr, out_channels, channels, packed_channels,
        TAPS, BLOCK_O, BLOCK_C, BLOCK_T, ROUND,
    )  # fmt: skip
    block = tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    mine = (block * tl.num_programs(0) + tl.program_id(0)) * EACH + tl.arange(0, EACH)
    tl.store(counters_ptr + mine, tl.zeros([EACH], dtype=tl.int32), mask=mine < counters)


def packed_taps_and_zeros(weight, padded_c, rounded, zeros):
    """What packed_taps gives, and int32 zeros, of one launch."""
    y, block_t, grid = empty_taps(weight, padded_c)
    out_channels, channels = weight.shape[:2]
    counters = torch.empty(zeros, device=weight.device, dtype=torch.int32)
    pack_taps_and_clear[grid](
        weight,
        y,
        counters,
        zeros,
        out_channels,
        channels,
        padded_c,
        TAPS=y.shape[0],
        BLOCK_O=8,
        BLOCK_C=32,
        BLOCK_T=block_t,
        EACH=triton.next_power_of_2(triton.cdiv(zeros, grid[0] * grid[1] * grid[2])),
        ROUND=rounded,
    )
    return y, counters


@triton.jit
def load_band_tile(
    x_ptr,  # where the image begins
    tile,
    row0,
    pixels,
    channels,
    height,
    WIDTH: tl.constexpr,
    STRIDE_C: tl.constexpr,
    STRIDE_P: tl.constexpr,
    PADDED_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    C: tl.constexpr,
    COPY_C: tl.constexpr,
    COPY_P: tl.constexpr,
):
    """[COPY_C, COPY_P]: a tile of the band of `pixels` from padded row row0 on; zeros beside x."""
    p = tile // (C // COPY_C) * COPY_P + tl.arange(0, COPY_P)
    c = tile % (C // COPY_C) * COPY_C + tl.arange(0, COPY_C)
    iy = row0 + p // PADDED_W - PAD_H
    ix = p % PADDED_W - PAD_W
    pixel_inside = (p < pixels) & (iy >= 0) & (iy < height) & (ix >= 0) & (ix < WIDTH)
    inside = (c < channels)[:, None] & pixel_inside[None, :]
    source = (c * STRIDE_C)[:, None] + ((iy * WIDTH + ix) * STRIDE_P)[None, :]
    return tl.load(x_ptr + source, mask=inside, other=0.0, eviction_policy="evict_first")


@triton.jit
def copy_band(
    x_ptr,
    padded_ptr,
    flags_ptr,
    band,
    channels,
    height,
    stride_b,
    WIDTH: tl.constexpr,
    STRIDE_C: tl.constexpr,
    STRIDE_P: tl.constexpr,
    PADDED_H: tl.constexpr,
    PADDED_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    C: tl.constexpr,
    BAND: tl.constexpr,
    COPY_P: tl.constexpr,
    ROUND: tl.constexpr,
):
    """Rewrites one band as to_padded_nhwc does, then raises its flag. The last of an image may be
    shorter."""
    COPY_C: tl.constexpr = C if C < 32 else 32
    BANDS: tl.constexpr = (PADDED_H + BAND - 1) // BAND
    batch = (band // BANDS).to(tl.int64)
    row0 = band % BANDS * BAND
    pixels = tl.minimum(PADDED_H - row0, BAND) * PADDED_W
    tiles = (pixels + COPY_P - 1) // COPY_P * (C // COPY_C)
    x_ptr += batch * stride_b
    padded_ptr += (batch * PADDED_H + row0) * (PADDED_W * C)
    # The next tile is on its way into registers while this one is turned and stored.
    x = load_band_tile(
        x_ptr, 0, row0, pixels, channels, height,
        WIDTH, STRIDE_C, STRIDE_P, PADDED_W, PAD_H, PAD_W, C, COPY_C, COPY_P,
    )  # fmt: skip
    for tile in tl.range(0, tiles):
        following = load_band_tile(
            x_ptr, tile + 1, row0, pixels, channels, height,
            WIDTH, STRIDE_C, STRIDE_P, PADDED_W, PAD_H, PAD_W, C, COPY_C, COPY_P,
        )  # fmt: skip
        if ROUND:
            x = round_tf32(x)
        p = tile // (C // COPY_C) * COPY_P + tl.arange(0, COPY_P)
        c = tile % (C // COPY_C) * COPY_C + tl.arange(0, COPY_C)
        target = padded_ptr + (p * C)[:, None] + c[None, :]
        kept = (p < pixels)[:, None] & (c < C)[None, :]
        tl.store(target, x.T, mask=kept, eviction_policy="evict_last")  # read again at once
        x = following
    tl.debug_barrier()
    tl.atomic_add(flags_ptr + band, 1, sem="release", scope="gpu")


@triton.jit
def wait_for(flags_ptr, bands):
    """Until the flags of all these bands are up: one round trip to L2 where they are already."""
    nothing = tl.zeros(bands.shape, dtype=tl.int32)
    up = tl.min(tl.atomic_add(flags_ptr + bands, nothing, sem="acquire", scope="gpu"), 0)
    while up == 0:
        up = tl.min(tl.atomic_add(flags_ptr + bands, nothing, sem="acquire", scope="gpu"), 0)
    tl.debug_barrier()


@triton.jit
def conv_rows_ahead(
    x_ptr,  # [batch, channels, height, WIDTH], by its strides
    padded_ptr,  # [batch, PADDED_H, PADDED_W, C], and room for what lies beyond; written here
    w_ptr,  # [KH·KW, OC, C], by pack_taps
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    counters_ptr,  # the next ticket, then a flag a band; all zero when the launch begins
    kernel_w,  # KW; see make_rows
    batch,
    channels,
    height,
    stride_b,
    WIDTH: tl.constexpr,
    STRIDE_C: tl.constexpr,
    STRIDE_P: tl.constexpr,
    C: tl.constexpr,
    PADDED_H: tl.constexpr,
    PADDED_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    LEFT: tl.constexpr,  # of the PAD_W columns before the image, those that windows reach
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
    ROUND: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
    COPY_P: tl.constexpr,
    LEAD: tl.constexpr,
):
    """One ticket: a band to copy, or ROWS output rows. The grid has a block for each."""
    STEP: tl.constexpr = DIL_H // SH
    BAND: tl.constexpr = DIL_H * ROWS
    BANDS: tl.constexpr = (PADDED_H + BAND - 1) // BAND
    SLABS: tl.constexpr = (OH + STEP * ROWS - 1) // (STEP * ROWS)  # of an image; at most BANDS
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    PX_BLOCKS: tl.constexpr = (OW + BLOCK_P - 1) // BLOCK_P
    PARTS: tl.constexpr = OC_BLOCKS * PX_BLOCKS * STEP
    # The bands that windows of one slab reach: those of its last output row begin BAND - SH rows
    # below the first, and end (KH-1)·DIL_H further down.
    REACH: tl.constexpr = 1 + (BAND - SH + (KH - 1) * DIL_H) // BAND
    LANES: tl.constexpr = 4 if REACH <= 4 else 32
    tl.static_assert(REACH <= LEAD and REACH <= LANES)
    ticket = tl.atomic_add(counters_ptr, 1, sem="relaxed", scope="gpu")
    late = ticket - LEAD
    slot = late // (PARTS + 1)
    part = late % (PARTS + 1)
    if (late < 0) | (part == PARTS):
        band = tl.where(late < 0, ticket, LEAD + slot)
        if band < batch * BANDS:
            copy_band(
                x_ptr, padded_ptr, counters_ptr + 1, band, channels, height, stride_b,
                WIDTH, STRIDE_C, STRIDE_P, PADDED_H, PADDED_W, PAD_H, PAD_W, C, BAND, COPY_P, ROUND,
            )  # fmt: skip
    else:
        slab = slot % BANDS
        if slab < SLABS:
            # Below the last band of the image, rows are read that another block may be writing:
            # they reach only outputs below the image, which are not stored.
            reach = tl.minimum(REACH - 1, BANDS - 1 - slab)
            wait_for(counters_ptr + 1, slot + tl.minimum(tl.arange(0, LANES), reach))
            make_rows(
                padded_ptr + (PAD_W - LEFT) * C,
                w_ptr,
                bias_ptr,
                y_ptr,
                kernel_w,
                part % OC_BLOCKS * BLOCK_OC,
                part // OC_BLOCKS % PX_BLOCKS * BLOCK_P,
                slab * (STEP * ROWS) + part // (OC_BLOCKS * PX_BLOCKS),
                (slot // BANDS).to(tl.int64),
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
                EARLY=True,
            )


def conv2d_rows_ahead(x, weight, bias, stride, padding, dilation, packed_c):
    """conv2d of x [B, C, H, W] with weight [OC, C, KH, KW]; padding: (top, left, bottom, right).

    The vertical stride divides the vertical dilation. packed_c: channels with zeros added.
    """
    x, channels_last = in_its_layout(x)
    weight = weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    top, left, bottom, right = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty(
        (batch, out_channels, out_h, out_w),
        device=x.device,
        dtype=x.dtype,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    rounded = x.dtype == torch.float32
    rows = height + top + bottom
    columns, pad_w = padded_width(width, left, right)
    # The last blocks of pixels and of rows read past the end; what they make of it is not stored.
    beyond = pad_w + 256 * stride[1] + 3 * dilation[0] * (columns + 8)
    padded = torch.empty(
        (batch * rows * columns + beyond, packed_c), device=x.device, dtype=x.dtype
    )
    # The ticket, and at most a flag a row: fewer bands than that, whatever ROWS is.
    packed, counters = packed_taps_and_zeros(weight, packed_c, rounded, 1 + batch * rows)
    step = dilation[0] // stride[0]
    grid = lambda meta: (
        meta["LEAD"]
        + batch
        * triton.cdiv(rows, dilation[0] * meta["ROWS"])
        * (
            triton.cdiv(out_channels, meta["BLOCK_OC"]) * triton.cdiv(out_w, meta["BLOCK_P"]) * step
            + 1
        ),
    )
    conv_rows_ahead[grid](
        x,
        padded,
        packed,
        bias,
        y,
        counters,
        kernel_w,
        batch,
        channels,
        height,
        x.stride(0),
        WIDTH=width,
        # Its own strides will not do: those of axes of length one may be anything.
        STRIDE_C=1 if channels_last else height * width,
        STRIDE_P=channels if channels_last else 1,
        C=packed_c,
        PADDED_H=rows,
        PADDED_W=columns,
        PAD_H=top,
        PAD_W=pad_w,
        LEFT=left,
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
        ROUND=rounded,
    )
    return y
