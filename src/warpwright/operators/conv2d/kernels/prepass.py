"""Layout changes before a convolution, with fp32 rounded to TF32 (nearest) on the way.

Tensor cores read fp32 operands as TF32 by cutting the low 13 bits. Rounding first gives the
error that cuDNN has; here it costs nothing, since each pass is bound by memory.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def round_tf32(x):
    """fp32 rounded to the nearest TF32, ties away from zero; NaN and Inf stay what they are.

    Half of the last place that TF32 keeps is added to the bits, and the 13 bits below are cut:
    the tensor core would cut them too, but Inf with such bits looks like NaN before that. A NaN
    must not be touched: 0x7FFFFFFF would turn into -0.
    """
    bits = (x.to(tl.int32, bitcast=True) + 0x1000) & -0x2000
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


@triton.jit
def to_padded_nhwc(
    x_ptr,
    y_ptr,
    channels,
    height,
    stride_b,
    padded_h,
    padded_c,
    WIDTH: tl.constexpr,
    STRIDE_C: tl.constexpr,
    STRIDE_P: tl.constexpr,
    PADDED_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    ROUND: tl.constexpr,
):
    """x[b, c, r - PAD_H, q - PAD_W] → y[b, r, q, c], zeros where x has no such value.

    The strides of x are in elements; STRIDE_P is that of neighbouring pixels, rows too.
    The grid is (blocks of padded pixels, blocks of channels, images). Where WIDTH, PADDED_W, PAD_W
    and STRIDE_C are multiples of 4, the compiler sees it and loads 4 pixels at once: with numbers
    that it does not know it would load one at a time, and take half as long again.
    """
    b = tl.program_id(2).to(tl.int64)
    x_ptr += b * stride_b
    y_ptr += b * padded_h * PADDED_W * padded_c
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    kept = (p < padded_h * PADDED_W)[:, None] & (c < padded_c)[None, :]
    target = (p * padded_c)[:, None] + c[None, :]
    if PADDED_W % 2 != 0 and STRIDE_C != 1:
        # Neither axis of the tile is contiguous for the compiler, and versions of Triton differ in
        # which one they then lay a warp along. So it is loaded as one run, pixels innermost.
        t = tl.arange(0, BLOCK_C * BLOCK_P)
        p = tl.program_id(0) * BLOCK_P + t % BLOCK_P
        c = tl.program_id(1) * BLOCK_C + t // BLOCK_P
        iy = p // PADDED_W - PAD_H
        ix = p % PADDED_W - PAD_W
        inside = (c < channels) & (iy >= 0) & (iy < height) & (ix >= 0) & (ix < WIDTH)
        source = c * STRIDE_C + (iy * WIDTH + ix) * STRIDE_P
        x = tl.load(x_ptr + source, mask=inside, other=0.0).reshape([BLOCK_C, BLOCK_P])
    else:
        iy = p // PADDED_W - PAD_H
        ix = p % PADDED_W - PAD_W
        pixel_inside = (iy >= 0) & (iy < height) & (ix >= 0) & (ix < WIDTH)
        inside = (c < channels)[:, None] & pixel_inside[None, :]
        source = (c * STRIDE_C)[:, None] + ((iy * WIDTH + ix) * STRIDE_P)[None, :]
        x = tl.load(x_ptr + source, mask=inside, other=0.0)
    if ROUND:
        x = round_tf32(x)
    tl.store(y_ptr + target, x.T, mask=kept)


def padded_width(width, left, right):
    """Columns of a padded row, and where x begins in it: multiples of 4 if the width is one.

    Columns are added so that loads may be wide.
    """
    run = 4 if width % 4 == 0 else 1
    pad_w = triton.cdiv(left, run) * run
    return triton.cdiv(pad_w + width + right, run) * run, pad_w


def padded_nhwc(x, padding, padded_c, beyond):
    """x [B, C, H, W], its padding (top, left, bottom, right) written out, as pixels by channels.

    x is contiguous, as NCHW or channels_last. Returns the pixels from the first that a window
    needs, at least `beyond` more than there are, and how many rows and columns an image has.
    """
    batch, channels, height, width = x.shape
    top, left, bottom, right = padding
    rows = height + top + bottom
    columns, pad_w = padded_width(width, left, right)
    y = torch.empty(
        (batch * rows * columns + pad_w - left + beyond, padded_c), device=x.device, dtype=x.dtype
    )
    block_p = 64 if rows * columns <= 64 else 128
    # Without padding an image is one row, which may be read in fours where its rows may not.
    flat = max(padding) == 0
    # A tensor's own strides will not do: those of axes of length one may be anything.
    nchw = x.is_contiguous()
    to_padded_nhwc[(triton.cdiv(rows * columns, block_p), triton.cdiv(padded_c, 32), batch)](
        x,
        y,
        channels,
        1 if flat else height,
        x.stride(0),
        1 if flat else rows,
        padded_c,
        WIDTH=height * width if flat else width,
        STRIDE_C=height * width if nchw else 1,
        STRIDE_P=1 if nchw else channels,
        PADDED_W=rows * columns if flat else columns,
        PAD_H=top,
        PAD_W=pad_w,
        BLOCK_C=32,
        BLOCK_P=block_p,
        ROUND=x.dtype == torch.float32,
    )
    return y[pad_w - left :], rows, columns


@triton.jit
def space_to_depth(
    x_ptr,
    y_ptr,
    height,
    rows,
    columns,
    WIDTH: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    C: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK_CS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ROUND: tl.constexpr,
):
    """x[b, c, SH·r + i - PAD_H, SW·q + j - PAD_W] → y[b, r, q, (c·SH + i)·SW + j].

    A block makes BLOCK_W cells of one row r: C·SH rows of the image, each read along its length;
    zeros outside of the image, and where DEPTH is more than C·SH·SW. BLOCK_W, SW and
    BLOCK_CS ≥ DEPTH / SW are powers of two. The grid is (rows, blocks of cells, images).
    """
    b = tl.program_id(2).to(tl.int64)
    row = tl.program_id(0)
    q0 = tl.program_id(1) * BLOCK_W
    x_ptr += b * C * height * WIDTH
    y_ptr += (b * rows + row) * columns * DEPTH
    ci = tl.arange(0, BLOCK_CS)
    iy = row * SH + ci % SH - PAD_H
    row_inside = (ci < C * SH) & (iy >= 0) & (iy < height)
    ix = q0 * SW + tl.arange(0, BLOCK_W * SW) - PAD_W
    inside = row_inside[:, None] & ((ix >= 0) & (ix < WIDTH))[None, :]
    source = (ci // SH * height + iy) * WIDTH
    x = tl.load(x_ptr + source[:, None] + ix[None, :], mask=inside, other=0.0)
    if ROUND:
        x = round_tf32(x)
    x = x.reshape([BLOCK_CS, BLOCK_W, SW]).permute([1, 0, 2]).reshape([BLOCK_W, BLOCK_CS * SW])
    q = q0 + tl.arange(0, BLOCK_W)
    depth = tl.arange(0, BLOCK_CS * SW)
    kept = (q < columns)[:, None] & (depth < DEPTH)[None, :]
    tl.store(y_ptr + (q * DEPTH)[:, None] + depth[None, :], x, mask=kept)


@triton.jit
def pack_rows(
    w_ptr,
    y_ptr,
    channels,
    size,
    kernel_h,
    kernel_w,
    PAD_KW: tl.constexpr,
    BLOCK: tl.constexpr,
    ROUND: tl.constexpr,
):
    """w[o, c, ky, kx] → y[o, (c·kernel_h + ky)·PAD_KW + kx], zeros up to `size` taps a row."""
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    o = tl.program_id(1)
    kx = k % PAD_KW
    ky = k // PAD_KW % kernel_h
    c = k // (PAD_KW * kernel_h)
    inside = (c < channels) & (kx < kernel_w)
    source = ((o * channels + c) * kernel_h + ky) * kernel_w + kx
    w = tl.load(w_ptr + source, mask=inside, other=0.0)
    if ROUND:
        w = round_tf32(w)
    tl.store(y_ptr + o * size + k, w, mask=k < size)


@triton.jit
def pack_cells(
    w_ptr,
    y_ptr,
    channels,
    size,
    kernel_h,
    kernel_w,
    cells_w,
    depth,
    SH: tl.constexpr,
    SW: tl.constexpr,
    SHIFT: tl.constexpr,
    BLOCK: tl.constexpr,
    ROUND: tl.constexpr,
):
    """w[o, c, SH·Y + i, SW·X + j - SHIFT] → y[o, (Y·cells_w + X)·depth + (c·SH + i)·SW + j].

    The order of an input after space_to_depth. Zeros beside the kernel, where depth is more than
    channels·SH·SW, and up to `size` values a row.
    """
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    o = tl.program_id(1)
    c = k % depth // (SH * SW)
    kx = k // depth % cells_w * SW + k % depth % SW - SHIFT
    ky = k // (depth * cells_w) * SH + k % depth // SW % SH
    inside = (c < channels) & (ky < kernel_h) & (kx >= 0) & (kx < kernel_w)
    source = ((o * channels + c) * kernel_h + ky) * kernel_w + kx
    w = tl.load(w_ptr + source, mask=inside, other=0.0)
    if ROUND:
        w = round_tf32(w)
    tl.store(y_ptr + o * size + k, w, mask=k < size)


@triton.jit
def pack_taps(
    w_ptr,
    y_ptr,
    out_channels,
    channels,
    packed_channels,
    TAPS: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    ROUND: tl.constexpr,
):
    """w[o, c, tap] → y[tap, o, c]: a matrix for each tap; zeros for c ≥ channels.

    The grid is (blocks of o, blocks of c, blocks of taps). A block makes several taps, so that a
    sector that holds them is fetched once; the tile is one run, input channels innermost, so that
    the lanes of a warp lie along them.
    """
    t = tl.arange(0, BLOCK_O * BLOCK_C)
    o = tl.program_id(0) * BLOCK_O + t // BLOCK_C
    c = tl.program_id(1) * BLOCK_C + t % BLOCK_C
    inside = (o < out_channels) & (c < channels)
    kept = (o < out_channels) & (c < packed_channels)
    w_ptr += (o * channels + c) * TAPS
    y_ptr += o * packed_channels + c
    for i in tl.static_range(BLOCK_T):
        tap = tl.program_id(2) * BLOCK_T + i
        w = tl.load(w_ptr + tap, mask=inside & (tap < TAPS), other=0.0)
        if ROUND:
            w = round_tf32(w)
        tl.store(y_ptr + tap * (out_channels * packed_channels), w, mask=kept & (tap < TAPS))


def empty_taps(weight, padded_c):
    """Room for weight [OC, C, KH, KW] as [KH·KW, OC, padded_c]; taps of a block of pack_taps, and
    its grid."""
    out_channels, _, kernel_h, kernel_w = weight.shape
    taps = kernel_h * kernel_w
    y = torch.empty((taps, out_channels, padded_c), device=weight.device, dtype=weight.dtype)
    block_t = min(taps, 9)
    grid = (triton.cdiv(out_channels, 8), triton.cdiv(padded_c, 32), triton.cdiv(taps, block_t))
    return y, block_t, grid


def packed_taps(weight, padded_c, rounded):
    """weight [OC, C, KH, KW] as [KH·KW, OC, padded_c], rounded to TF32 if asked to."""
    y, block_t, grid = empty_taps(weight, padded_c)
    out_channels, channels = weight.shape[:2]
    pack_taps[grid](
        weight,
        y,
        out_channels,
        channels,
        padded_c,
        TAPS=y.shape[0],
        BLOCK_O=8,
        BLOCK_C=32,
        BLOCK_T=block_t,
        ROUND=rounded,
    )
    return y
