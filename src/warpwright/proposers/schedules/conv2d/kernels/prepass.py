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
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    iy = p // PADDED_W - PAD_H
    ix = p % PADDED_W - PAD_W
    pixel_inside = (iy >= 0) & (iy < height) & (ix >= 0) & (ix < WIDTH)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = (c < channels)[:, None] & pixel_inside[None, :]
    source = (c * STRIDE_C)[:, None] + ((iy * WIDTH + ix) * STRIDE_P)[None, :]
    x = tl.load(x_ptr + b * stride_b + source, mask=inside, other=0.0)
    if ROUND:
        x = round_tf32(x)
    kept = (p < padded_h * PADDED_W)[:, None] & (c < padded_c)[None, :]
    y_ptr += b * padded_h * PADDED_W * padded_c
    tl.store(y_ptr + (p * padded_c)[:, None] + c[None, :], x.T, mask=kept)


def padded_width(width, left, right):
    """Columns of a padded row, and where x begins in it: multiples of 4 if the width is one.

    Columns are added so that loads may be wide.
    """
    run = 4 if width % 4 == 0 else 1
    pad_w = triton.cdiv(left, run) * run
    return triton.cdiv(pad_w + width + right, run) * run, pad_w


def padded_nhwc(x, padding, padded_c, beyond):
    """x [B, C, H, W], its padding (top, left, bottom, right) written out, as pixels by channels.

    Returns the pixels from the first that a window needs, at least `beyond` more than there are,
    and how many rows and columns an image has.
    """
    batch, channels, height, width = x.shape
    top, left, bottom, right = padding
    rows = height + top + bottom
    columns, pad_w = padded_width(width, left, right)
    y = torch.empty(
        (batch * rows * columns + pad_w - left + beyond, padded_c), device=x.device, dtype=x.dtype
    )
    to_padded_nhwc[(triton.cdiv(rows * columns, 128), triton.cdiv(padded_c, 32), batch)](
        x,
        y,
        channels,
        height,
        x.stride(0),
        rows,
        padded_c,
        WIDTH=width,
        STRIDE_C=x.stride(1),
        STRIDE_P=x.stride(3),
        PADDED_W=columns,
        PAD_H=top,
        PAD_W=pad_w,
        BLOCK_C=32,
        BLOCK_P=128,
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
    taps,
    BLOCK_O: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ROUND: tl.constexpr,
):
    """w[o, c, tap] → y[tap, o, c]: a matrix for each tap; zeros for c ≥ channels.

    The grid is (blocks of o, blocks of c, taps).
    """
    tap = tl.program_id(2)
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)[:, None]
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    inside = (o < out_channels) & (c < channels)
    w = tl.load(w_ptr + (o * channels + c) * taps + tap, mask=inside, other=0.0)
    if ROUND:
        w = round_tf32(w)
    kept = (o < out_channels) & (c < packed_channels)
    tl.store(y_ptr + (tap * out_channels + o) * packed_channels + c, w, mask=kept)
