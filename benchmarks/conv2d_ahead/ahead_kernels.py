# ruff: noqa: N803, N806, RUF005
"""Kernels of the experiment `ahead_b.py`: row_reuse_ahead with other copies and other loops.

All are general as the emitted one is: any batch, image, channels that are packed to C, strides.
Tickets, bands, flags and why they suffice: kernels/row_reuse_ahead.py.
"""

import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.prepass import round_tf32
from warpwright.operators.conv2d.kernels.row_reuse import make_rows, store_row
from warpwright.operators.conv2d.kernels.row_reuse_ahead import copy_band


@triton.jit
def wait_for_pieces(flags_ptr, bands, PIECES: tl.constexpr):
    """wait_for of bands whose flags count pieces."""
    nothing = tl.zeros(bands.shape, dtype=tl.int32)
    up = tl.min(tl.atomic_add(flags_ptr + bands, nothing, sem="acquire", scope="gpu"), 0)
    while up < PIECES:
        up = tl.min(tl.atomic_add(flags_ptr + bands, nothing, sem="acquire", scope="gpu"), 0)
    tl.debug_barrier()


@triton.jit
def load_run(
    x_ptr,  # where the image begins
    tile,
    end,
    first,
    pixels,
    channels,
    image,
    STRIDE_C: tl.constexpr,
    STRIDE_P: tl.constexpr,
    C: tl.constexpr,
    COPY_C: tl.constexpr,
    COPY_P: tl.constexpr,
):
    """[COPY_C, COPY_P]: pixels of x, one after another from `first` on; zeros beside the image, and
    for tiles from `end` on.

    Rows are not told apart, so that loads are aligned whatever the padding, and need no division.
    """
    q = tile // (C // COPY_C) * COPY_P + tl.arange(0, COPY_P)
    c = tile % (C // COPY_C) * COPY_C + tl.arange(0, COPY_C)
    at = first + q
    pixel_inside = (q < pixels) & (at >= 0) & (at < image) & (tile < end)
    inside = (c < channels)[:, None] & pixel_inside[None, :]
    source = (c * STRIDE_C)[:, None] + (at * STRIDE_P)[None, :]
    return tl.load(x_ptr + source, mask=inside, other=0.0, eviction_policy="evict_first")


@triton.jit
def store_run(
    padded_ptr,  # where the band begins
    x,
    tile,
    end,
    pixels,
    WIDTH: tl.constexpr,
    PADDED_W: tl.constexpr,
    PAD_W: tl.constexpr,
    C: tl.constexpr,
    COPY_C: tl.constexpr,
    COPY_P: tl.constexpr,
    ROUND: tl.constexpr,
):
    """A tile of load_run, turned, to its pixels of the padded band."""
    if ROUND:
        x = round_tf32(x)
    q = tile // (C // COPY_C) * COPY_P + tl.arange(0, COPY_P)
    c = tile % (C // COPY_C) * COPY_C + tl.arange(0, COPY_C)
    p = q // WIDTH * PADDED_W + q % WIDTH + PAD_W
    kept = ((q < pixels) & (tile < end))[:, None] & (c < C)[None, :]
    tl.store(
        padded_ptr + (p * C)[:, None] + c[None, :], x.T, mask=kept, eviction_policy="evict_last"
    )


@triton.jit
def copy_band_deep(
    x_ptr,
    padded_ptr,
    flags_ptr,
    band,
    piece,
    pieces,
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
    DEPTH: tl.constexpr,
    STAGED: tl.constexpr,
    ROUND: tl.constexpr,
    FENCES: tl.constexpr,
    PIECES: tl.constexpr,
):
    """Piece `piece` of `pieces`: of PIECES, or of one that is the whole band and counts for all.

    copy_band with DEPTH smaller tiles on their way, each loaded anew as soon as it is stored.
    DEPTH 1: the next tile is loaded before this one is stored, as copy_band does.

    STAGED (not 0): the tiles wait in shared memory instead, in as many buffers.
    FENCES: readers fetch by the bulk copy unit.
    """
    COPY_C: tl.constexpr = C if C < 32 else 32
    BANDS: tl.constexpr = (PADDED_H + BAND - 1) // BAND
    batch = (band // BANDS).to(tl.int64)
    row0 = band % BANDS * BAND
    rows = tl.minimum(PADDED_H - row0, BAND)
    pixels = rows * WIDTH
    first = (row0 - PAD_H) * WIDTH
    image = height * WIDTH
    tiles = (pixels + COPY_P - 1) // COPY_P * (C // COPY_C)
    begin = tiles * piece // pieces
    end = tiles * (piece + 1) // pieces
    x_ptr += batch * stride_b
    padded_ptr += (batch * PADDED_H + row0) * (PADDED_W * C)
    if STAGED > 0:
        for tile in tl.range(begin, end, num_stages=STAGED):
            x = load_run(
                x_ptr,
                tile,
                end,
                first,
                pixels,
                channels,
                image,
                STRIDE_C,
                STRIDE_P,
                C,
                COPY_C,
                COPY_P,
            )
            store_run(
                padded_ptr, x, tile, end, pixels, WIDTH, PADDED_W, PAD_W, C, COPY_C, COPY_P, ROUND
            )
    elif DEPTH == 1:
        x = load_run(
            x_ptr, begin, end, first, pixels, channels, image,
            STRIDE_C, STRIDE_P, C, COPY_C, COPY_P,
        )  # fmt: skip
        for tile in tl.range(begin, end):
            following = load_run(
                x_ptr, tile + 1, end, first, pixels, channels, image,
                STRIDE_C, STRIDE_P, C, COPY_C, COPY_P,
            )  # fmt: skip
            store_run(
                padded_ptr, x, tile, end, pixels, WIDTH, PADDED_W, PAD_W, C, COPY_C, COPY_P, ROUND
            )
            x = following
    else:
        coming = ()
        for i in tl.static_range(DEPTH):
            x = load_run(
                x_ptr, begin + i, end, first, pixels, channels, image,
                STRIDE_C, STRIDE_P, C, COPY_C, COPY_P,
            )  # fmt: skip
            coming = coming + (x,)
        for tile in tl.range(begin, end, DEPTH):
            later = ()
            for i in tl.static_range(DEPTH):
                store_run(
                    padded_ptr, coming[i], tile + i, end, pixels,
                    WIDTH, PADDED_W, PAD_W, C, COPY_C, COPY_P, ROUND,
                )  # fmt: skip
                x = load_run(
                    x_ptr, tile + DEPTH + i, end, first, pixels, channels, image,
                    STRIDE_C, STRIDE_P, C, COPY_C, COPY_P,
                )  # fmt: skip
                later = later + (x,)
            coming = later
    SIDE: tl.constexpr = PADDED_W - WIDTH
    if SIDE > 0:
        # Zeros beside the image: SIDE pixels of each row, whatever of them is left and right of it.
        s = tl.arange(0, 64)
        c = tl.arange(0, COPY_C)
        sides = tl.where(piece == 0, (rows * SIDE + 63) // 64 * (C // COPY_C), 0)
        for n in tl.range(0, sides):
            side = n // (C // COPY_C) * 64 + s
            column = side % SIDE
            p = side // SIDE * PADDED_W + tl.where(column < PAD_W, column, column + WIDTH)
            at = (p * C)[:, None] + (n % (C // COPY_C) * COPY_C + c)[None, :]
            zeros = tl.zeros([64, COPY_C], dtype=padded_ptr.dtype.element_ty)
            tl.store(padded_ptr + at, zeros, mask=(side < rows * SIDE)[:, None] & (c < C)[None, :])
    if FENCES:
        fence_proxies(band)
    tl.debug_barrier()
    tl.atomic_add(flags_ptr + band, PIECES // pieces, sem="release", scope="gpu")


@triton.jit
def load_pixels(at, offsets, CACHED: tl.constexpr):
    """A tile of the padded input. CACHED: by copies of 8 bytes, which L1 may serve: windows of
    neighbouring taps overlap. Wider ones pass it by."""
    at += offsets
    if CACHED:
        at = tl.max_contiguous(at, [1, 2])
    return tl.load(at)


@triton.jit
def load_taps(at, offsets, inside, CACHED: tl.constexpr):
    """Weights of a tap, likewise."""
    at += offsets
    if CACHED:
        at = tl.max_contiguous(at, [1, 2])
    return tl.load(at, mask=inside, other=0.0)


@triton.jit
def make_rows_joined(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    kernel_w,
    oc0,
    px0,
    y,
    batch,
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
    ROWS: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
    ORDER: tl.constexpr,
    CACHED_X: tl.constexpr,
    CACHED_W: tl.constexpr,
):
    """make_rows in fewer loops: input rows at the top and at the bottom, which serve some of the
    output rows, are joined in pairs that serve each of them once.

    ORDER, of steps, fastest last: "r kx c", "r c kx" (successive tiles of input overlap) or
    "kx c r" (successive steps load the same taps).
    """
    STEP: tl.constexpr = DIL_H // SH
    CHUNKS: tl.constexpr = C // BLOCK_C
    ROW: tl.constexpr = PADDED_W * C * DIL_H
    TAP: tl.constexpr = OC * C
    oc = oc0 + tl.arange(0, BLOCK_OC)
    px = px0 + tl.arange(0, BLOCK_P)
    x_ptr += (batch * PADDED_H + y * SH) * (PADDED_W * C) + px0 * (SW * C)
    w_ptr += oc0 * C
    rc = tl.arange(0, BLOCK_C).to(tl.int64)[None, :]
    x_tile = (tl.arange(0, BLOCK_P).to(tl.int64) * (SW * C))[:, None] + rc
    w_tile = (tl.arange(0, BLOCK_OC).to(tl.int64) * C)[:, None] + rc
    w_inside = (oc < OC)[:, None]
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    if ROWS == 3:
        acc2 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    # Input rows 0 and KH.
    for t in tl.range(0, kernel_w * CHUNKS, num_stages=EDGE_STAGES):
        if ORDER == "r c kx":
            kx = t % KW
            c = t // KW * BLOCK_C
        else:
            kx = t // CHUNKS
            c = t % CHUNKS * BLOCK_C
        x_at = x_ptr + (kx * (DIL_W * C) + c)
        w_at = w_ptr + (kx * TAP + c)
        x = load_pixels(x_at, x_tile, CACHED_X)
        w = load_taps(w_at, w_tile, w_inside, CACHED_W)
        acc0 = tl.dot(w, x.T, acc0)
        x = load_pixels(x_at + KH * ROW, x_tile, CACHED_X)
        w = load_taps(w_at + (KH - 1) * KW * TAP, w_tile, w_inside, CACHED_W)
        acc1 = tl.dot(w, x.T, acc1)
        if ROWS == 3:
            w = load_taps(w_at + (KH - 2) * KW * TAP, w_tile, w_inside, CACHED_W)
            acc2 = tl.dot(w, x.T, acc2)
    # Input rows that serve every output row.
    FULL: tl.constexpr = KH - ROWS + 1
    for t in tl.range(0, FULL * kernel_w * CHUNKS):
        if ORDER == "kx c r":
            kx = t // (FULL * CHUNKS)
            c = t // FULL % CHUNKS * BLOCK_C
            r = t % FULL + (ROWS - 1)
        elif ORDER == "r c kx":
            kx = t % KW
            c = t // KW % CHUNKS * BLOCK_C
            r = t // (CHUNKS * KW) + (ROWS - 1)
        else:
            kx = t // CHUNKS % KW
            r = t // (CHUNKS * KW) + (ROWS - 1)
            c = t % CHUNKS * BLOCK_C
        x = load_pixels(x_ptr + (r * ROW + kx * (DIL_W * C) + c), x_tile, CACHED_X)
        w_at = w_ptr + ((r * KW + kx) * TAP + c)
        w = load_taps(w_at, w_tile, w_inside, CACHED_W)
        acc0 = tl.dot(w, x.T, acc0)
        w = load_taps(w_at - KW * TAP, w_tile, w_inside, CACHED_W)
        acc1 = tl.dot(w, x.T, acc1)
        if ROWS == 3:
            w = load_taps(w_at - 2 * KW * TAP, w_tile, w_inside, CACHED_W)
            acc2 = tl.dot(w, x.T, acc2)
    if ROWS == 3:
        # Input rows 1 and KH + 1.
        for t in tl.range(0, kernel_w * CHUNKS, num_stages=EDGE_STAGES):
            if ORDER == "r c kx":
                kx = t % KW
                c = t // KW * BLOCK_C
            else:
                kx = t // CHUNKS
                c = t % CHUNKS * BLOCK_C
            x_at = x_ptr + (kx * (DIL_W * C) + c)
            w_at = w_ptr + (kx * TAP + c)
            x = load_pixels(x_at + ROW, x_tile, CACHED_X)
            w = load_taps(w_at + KW * TAP, w_tile, w_inside, CACHED_W)
            acc0 = tl.dot(w, x.T, acc0)
            w = load_taps(w_at, w_tile, w_inside, CACHED_W)
            acc1 = tl.dot(w, x.T, acc1)
            x = load_pixels(x_at + (KH + 1) * ROW, x_tile, CACHED_X)
            w = load_taps(w_at + (KH - 1) * KW * TAP, w_tile, w_inside, CACHED_W)
            acc2 = tl.dot(w, x.T, acc2)
    y_ptr += batch * (OC * OH * OW)
    store_row(y_ptr, acc0, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)
    store_row(y_ptr, acc1, bias_ptr, oc, px, y + STEP, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)
    if ROWS == 3:
        y += 2 * STEP
        store_row(y_ptr, acc2, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)


@triton.jit
def one_ticket(
    ticket, x_ptr, padded_ptr, w_ptr, bias_ptr, y_ptr, counters_ptr, kernel_w, batch, channels,
    height, stride_b,
    WIDTH: tl.constexpr, STRIDE_C: tl.constexpr, STRIDE_P: tl.constexpr, C: tl.constexpr,
    PADDED_H: tl.constexpr, PADDED_W: tl.constexpr, PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    LEFT: tl.constexpr, OC: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, KH: tl.constexpr,
    KW: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, DIL_H: tl.constexpr,
    DIL_W: tl.constexpr, HAS_BIAS: tl.constexpr, CHANNELS_LAST: tl.constexpr,
    ROUND: tl.constexpr, ROWS: tl.constexpr, BLOCK_OC: tl.constexpr, BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr, EDGE_STAGES: tl.constexpr, COPY_P: tl.constexpr, LEAD: tl.constexpr,
    DEPTH: tl.constexpr, STAGED: tl.constexpr, LOOPS: tl.constexpr, ORDER: tl.constexpr,
    CACHED_X: tl.constexpr, CACHED_W: tl.constexpr, COPIES: tl.constexpr, PRODUCTS: tl.constexpr,
    PIECES: tl.constexpr,
):  # fmt: skip
    """conv_rows_ahead's ticket. DEPTH + STAGED = 0: its own copy; LOOPS 4: its own loops.

    COPIES, PRODUCTS: off to time the other alone.
    """
    STEP: tl.constexpr = DIL_H // SH
    BAND: tl.constexpr = DIL_H * ROWS
    BANDS: tl.constexpr = (PADDED_H + BAND - 1) // BAND
    SLABS: tl.constexpr = (OH + STEP * ROWS - 1) // (STEP * ROWS)
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    PX_BLOCKS: tl.constexpr = (OW + BLOCK_P - 1) // BLOCK_P
    PARTS: tl.constexpr = OC_BLOCKS * PX_BLOCKS * STEP
    REACH: tl.constexpr = 1 + (BAND - SH + (KH - 1) * DIL_H) // BAND
    LANES: tl.constexpr = 4 if REACH <= 4 else 32
    tl.static_assert(REACH <= LEAD and REACH <= LANES)
    late = ticket - LEAD * PIECES
    slot = late // (PARTS + 1)
    part = late % (PARTS + 1)
    if (late < 0) | (part == PARTS):
        band = tl.where(late < 0, ticket // PIECES, LEAD + slot)
        piece = tl.where(late < 0, ticket % PIECES, 0)
        pieces = tl.where(late < 0, PIECES, 1)
        if COPIES & (band < batch * BANDS):
            if DEPTH + STAGED > 0:
                copy_band_deep(
                    x_ptr, padded_ptr, counters_ptr + 1, band, piece, pieces, channels, height,
                    stride_b, WIDTH, STRIDE_C, STRIDE_P, PADDED_H, PADDED_W, PAD_H, PAD_W, C, BAND,
                    COPY_P, DEPTH, STAGED, ROUND, False, PIECES,
                )  # fmt: skip
            else:
                copy_band(
                    x_ptr, padded_ptr, counters_ptr + 1, band, channels, height, stride_b,
                    WIDTH, STRIDE_C, STRIDE_P, PADDED_H, PADDED_W, PAD_H, PAD_W, C, BAND, COPY_P,
                    ROUND,
                )  # fmt: skip
    else:
        slab = slot % BANDS
        if PRODUCTS & (slab < SLABS):
            if COPIES:
                reach = tl.minimum(REACH - 1, BANDS - 1 - slab)
                wait_for_pieces(
                    counters_ptr + 1, slot + tl.minimum(tl.arange(0, LANES), reach), PIECES
                )
            oc0 = part % OC_BLOCKS * BLOCK_OC
            px0 = part // OC_BLOCKS % PX_BLOCKS * BLOCK_P
            y = slab * (STEP * ROWS) + part // (OC_BLOCKS * PX_BLOCKS)
            image = (slot // BANDS).to(tl.int64)
            x_ptr = padded_ptr + (PAD_W - LEFT) * C
            if LOOPS == 4:
                make_rows(
                    x_ptr, w_ptr, bias_ptr, y_ptr, kernel_w, oc0, px0, y, image,
                    C, PADDED_H, PADDED_W, OC, OH, OW, KH, KW, SH, SW, DIL_H, DIL_W,
                    HAS_BIAS, CHANNELS_LAST, ROWS, BLOCK_OC, BLOCK_P, BLOCK_C, EDGE_STAGES, True,
                )  # fmt: skip
            else:
                make_rows_joined(
                    x_ptr, w_ptr, bias_ptr, y_ptr, kernel_w, oc0, px0, y, image,
                    C, PADDED_H, PADDED_W, OC, OH, OW, KH, KW, SH, SW, DIL_H, DIL_W,
                    HAS_BIAS, CHANNELS_LAST, ROWS, BLOCK_OC, BLOCK_P, BLOCK_C, EDGE_STAGES,
                    ORDER, CACHED_X, CACHED_W,
                )  # fmt: skip


@triton.jit
def conv_rows_tried(
    x_ptr, padded_ptr, w_ptr, bias_ptr, y_ptr, counters_ptr, kernel_w, batch, channels, height,
    stride_b,
    WIDTH: tl.constexpr, STRIDE_C: tl.constexpr, STRIDE_P: tl.constexpr, C: tl.constexpr,
    PADDED_H: tl.constexpr, PADDED_W: tl.constexpr, PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    LEFT: tl.constexpr, OC: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, KH: tl.constexpr,
    KW: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, DIL_H: tl.constexpr,
    DIL_W: tl.constexpr, HAS_BIAS: tl.constexpr, CHANNELS_LAST: tl.constexpr,
    ROUND: tl.constexpr, ROWS: tl.constexpr, BLOCK_OC: tl.constexpr, BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr, EDGE_STAGES: tl.constexpr, COPY_P: tl.constexpr, LEAD: tl.constexpr,
    DEPTH: tl.constexpr, STAGED: tl.constexpr, LOOPS: tl.constexpr, ORDER: tl.constexpr,
    CACHED_X: tl.constexpr, CACHED_W: tl.constexpr, COPIES: tl.constexpr,
    PRODUCTS: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Arguments are those of conv_rows_ahead."""
    ticket = tl.atomic_add(counters_ptr, 1, sem="relaxed", scope="gpu")
    one_ticket(
        ticket, x_ptr, padded_ptr, w_ptr, bias_ptr, y_ptr, counters_ptr, kernel_w, batch,
        channels, height, stride_b, WIDTH, STRIDE_C, STRIDE_P, C, PADDED_H, PADDED_W,
        PAD_H, PAD_W, LEFT, OC, OH, OW, KH, KW, SH, SW, DIL_H, DIL_W, HAS_BIAS,
        CHANNELS_LAST, ROUND, ROWS, BLOCK_OC, BLOCK_P, BLOCK_C, EDGE_STAGES, COPY_P, LEAD,
        DEPTH, STAGED, LOOPS, ORDER, CACHED_X, CACHED_W, COPIES, PRODUCTS, PIECES,
    )  # fmt: skip


@triton.jit
def fence_proxies(n):
    """Orders ordinary accesses to memory before those of the bulk copy unit; n is any integer."""
    tl.inline_asm_elementwise(
        "fence.proxy.async.global; mov.b32 $0, $1;",
        "=r,r",
        [n],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def make_rows_described(
    x_desc,  # [pixels, C] in boxes of [BLOCK_P, BLOCK_C]
    w_desc,  # [KH·KW·OC, C] in boxes of [BLOCK_OC, BLOCK_C]; OC is a multiple of BLOCK_OC
    bias_ptr,
    y_ptr,
    kernel_w,
    oc0,
    px0,
    y,
    batch,
    pixel,  # of x_desc, where the windows of the block begin
    C: tl.constexpr,
    PADDED_W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr,
):
    """make_rows_joined for three rows and SW = 1, its tiles fetched by the bulk copy unit."""
    STEP: tl.constexpr = DIL_H // SH
    CHUNKS: tl.constexpr = C // BLOCK_C
    ROW: tl.constexpr = PADDED_W * DIL_H
    oc = oc0 + tl.arange(0, BLOCK_OC)
    px = px0 + tl.arange(0, BLOCK_P)
    acc0 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc1 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    acc2 = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    for t in tl.range(0, kernel_w * CHUNKS, num_stages=EDGE_STAGES):
        kx = t // CHUNKS
        c = t % CHUNKS * BLOCK_C
        at = pixel + kx * DIL_W
        w_at = oc0 + kx * OC
        x = x_desc.load([at, c])
        w = w_desc.load([w_at, c])
        acc0 = tl.dot(w, x.T, acc0)
        x = x_desc.load([at + KH * ROW, c])
        w = w_desc.load([w_at + (KH - 1) * KW * OC, c])
        acc1 = tl.dot(w, x.T, acc1)
        w = w_desc.load([w_at + (KH - 2) * KW * OC, c])
        acc2 = tl.dot(w, x.T, acc2)
    for t in tl.range(0, (KH - 2) * kernel_w * CHUNKS):
        kx = t // CHUNKS % KW
        r = t // (CHUNKS * KW) + 2
        c = t % CHUNKS * BLOCK_C
        x = x_desc.load([pixel + r * ROW + kx * DIL_W, c])
        w_at = oc0 + (r * KW + kx) * OC
        w = w_desc.load([w_at, c])
        acc0 = tl.dot(w, x.T, acc0)
        w = w_desc.load([w_at - KW * OC, c])
        acc1 = tl.dot(w, x.T, acc1)
        w = w_desc.load([w_at - 2 * KW * OC, c])
        acc2 = tl.dot(w, x.T, acc2)
    for t in tl.range(0, kernel_w * CHUNKS, num_stages=EDGE_STAGES):
        kx = t // CHUNKS
        c = t % CHUNKS * BLOCK_C
        at = pixel + kx * DIL_W
        w_at = oc0 + kx * OC
        x = x_desc.load([at + ROW, c])
        w = w_desc.load([w_at + KW * OC, c])
        acc0 = tl.dot(w, x.T, acc0)
        w = w_desc.load([w_at, c])
        acc1 = tl.dot(w, x.T, acc1)
        x = x_desc.load([at + (KH + 1) * ROW, c])
        w = w_desc.load([w_at + (KH - 1) * KW * OC, c])
        acc2 = tl.dot(w, x.T, acc2)
    y_ptr += batch * (OC * OH * OW)
    store_row(y_ptr, acc0, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)
    store_row(y_ptr, acc1, bias_ptr, oc, px, y + STEP, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)
    y += 2 * STEP
    store_row(y_ptr, acc2, bias_ptr, oc, px, y, OC, OH, OW, HAS_BIAS, CHANNELS_LAST, True)


@triton.jit
def one_described(
    ticket, x_ptr, padded_ptr, x_desc, w_desc, bias_ptr, y_ptr, counters_ptr, kernel_w, batch,
    channels, height, stride_b,
    WIDTH: tl.constexpr, STRIDE_C: tl.constexpr, STRIDE_P: tl.constexpr, C: tl.constexpr,
    PADDED_H: tl.constexpr, PADDED_W: tl.constexpr, PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    LEFT: tl.constexpr, OC: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, KH: tl.constexpr,
    KW: tl.constexpr, SH: tl.constexpr, DIL_H: tl.constexpr, DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr, CHANNELS_LAST: tl.constexpr, ROUND: tl.constexpr,
    BLOCK_OC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr, COPY_P: tl.constexpr, LEAD: tl.constexpr, DEPTH: tl.constexpr,
    FENCES: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """one_ticket with descriptors. FENCES: off in the interpreter, which has no assembly."""
    STEP: tl.constexpr = DIL_H // SH
    BAND: tl.constexpr = DIL_H * 3
    BANDS: tl.constexpr = (PADDED_H + BAND - 1) // BAND
    SLABS: tl.constexpr = (OH + STEP * 3 - 1) // (STEP * 3)
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    PX_BLOCKS: tl.constexpr = (OW + BLOCK_P - 1) // BLOCK_P
    PARTS: tl.constexpr = OC_BLOCKS * PX_BLOCKS * STEP
    REACH: tl.constexpr = 1 + (BAND - SH + (KH - 1) * DIL_H) // BAND
    LANES: tl.constexpr = 4 if REACH <= 4 else 32
    tl.static_assert(REACH <= LEAD and REACH <= LANES)
    late = ticket - LEAD * PIECES
    slot = late // (PARTS + 1)
    part = late % (PARTS + 1)
    if (late < 0) | (part == PARTS):
        band = tl.where(late < 0, ticket // PIECES, LEAD + slot)
        piece = tl.where(late < 0, ticket % PIECES, 0)
        pieces = tl.where(late < 0, PIECES, 1)
        if band < batch * BANDS:
            copy_band_deep(
                x_ptr, padded_ptr, counters_ptr + 1, band, piece, pieces, channels, height,
                stride_b, WIDTH, STRIDE_C, STRIDE_P, PADDED_H, PADDED_W, PAD_H, PAD_W, C, BAND,
                COPY_P, DEPTH, 0, ROUND, FENCES, PIECES,
            )  # fmt: skip
    else:
        slab = slot % BANDS
        if slab < SLABS:
            reach = tl.minimum(REACH - 1, BANDS - 1 - slab)
            wait_for_pieces(counters_ptr + 1, slot + tl.minimum(tl.arange(0, LANES), reach), PIECES)
            px0 = part // OC_BLOCKS % PX_BLOCKS * BLOCK_P
            if FENCES:
                fence_proxies(px0)
                tl.debug_barrier()
            y = slab * (STEP * 3) + part // (OC_BLOCKS * PX_BLOCKS)
            image = slot // BANDS
            pixel = (image * PADDED_H + y * SH) * PADDED_W + px0 + (PAD_W - LEFT)
            make_rows_described(
                x_desc, w_desc, bias_ptr, y_ptr, kernel_w, part % OC_BLOCKS * BLOCK_OC, px0, y,
                image.to(tl.int64), pixel, C, PADDED_W, OC, OH, OW, KH, KW, SH, DIL_H, DIL_W,
                HAS_BIAS, CHANNELS_LAST, BLOCK_OC, BLOCK_P, BLOCK_C, EDGE_STAGES,
            )  # fmt: skip


@triton.jit
def conv_rows_described(
    x_ptr, padded_ptr, x_desc, w_desc, bias_ptr, y_ptr, counters_ptr, kernel_w, batch, channels,
    height, stride_b,
    WIDTH: tl.constexpr, STRIDE_C: tl.constexpr, STRIDE_P: tl.constexpr, C: tl.constexpr,
    PADDED_H: tl.constexpr, PADDED_W: tl.constexpr, PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    LEFT: tl.constexpr, OC: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, KH: tl.constexpr,
    KW: tl.constexpr, SH: tl.constexpr, DIL_H: tl.constexpr, DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr, CHANNELS_LAST: tl.constexpr, ROUND: tl.constexpr,
    BLOCK_OC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    EDGE_STAGES: tl.constexpr, COPY_P: tl.constexpr, LEAD: tl.constexpr, DEPTH: tl.constexpr,
    FENCES: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """conv_rows_tried with descriptors for the padded input and the weights."""
    ticket = tl.atomic_add(counters_ptr, 1, sem="relaxed", scope="gpu")
    one_described(
        ticket, x_ptr, padded_ptr, x_desc, w_desc, bias_ptr, y_ptr, counters_ptr,
        kernel_w, batch, channels, height, stride_b, WIDTH, STRIDE_C, STRIDE_P, C,
        PADDED_H, PADDED_W, PAD_H, PAD_W, LEFT, OC, OH, OW, KH, KW, SH, DIL_H, DIL_W,
        HAS_BIAS, CHANNELS_LAST, ROUND, BLOCK_OC, BLOCK_P, BLOCK_C, EDGE_STAGES, COPY_P,
        LEAD, DEPTH, FENCES, PIECES,
    )  # fmt: skip
