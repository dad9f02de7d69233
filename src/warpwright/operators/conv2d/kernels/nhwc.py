"""Implicit GEMM over NHWC input: every vertical and horizontal tap is one matrix product.

Pixels of the whole batch lie along N and output channels along M. Either the input was rewritten
with its padding (padded_nhwc), and no load has a mask; or it is read as it is, for
half-precision channels_last input. Where the tiles of the output would leave most of the card
idle, the reduced dimension is split over blocks, and a second kernel adds their sums.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.epilogue import bias_of, pointwise
from warpwright.operators.conv2d.kernels.layout import in_its_layout, output_size
from warpwright.operators.conv2d.kernels.prepass import packed_taps, padded_nhwc


@triton.jit
def conv_nhwc(
    x_ptr,  # [batch, H, W, GROUPS·C]
    w_ptr,  # [KH·KW, OC, C], by pack_taps
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]; with SPLIT > 1 as many of them, in fp32, as y of each part
    batch,
    C: tl.constexpr,  # input channels of one group
    H: tl.constexpr,
    W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    GROUPS: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    HEIGHT: tl.constexpr,  # of the image, without padding
    TOP: tl.constexpr,  # rows of padding above it, whether they lie in memory or not
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    MASKED: tl.constexpr,  # windows may reach outside of the input
    WIDE: tl.constexpr,  # offsets of 64 bits
    SPLIT: tl.constexpr,  # divides the number of steps
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    PIXELS: tl.constexpr = OH * OW
    OCG: tl.constexpr = OC // GROUPS
    OC_BLOCKS: tl.constexpr = (OCG + BLOCK_OC - 1) // BLOCK_OC
    CHUNKS: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    pid = tl.program_id(0)
    group = tl.program_id(1)
    oc = group * OCG + pid % OC_BLOCKS * BLOCK_OC + tl.arange(0, BLOCK_OC)
    oc_kept = oc < (group + 1) * OCG
    block = pid // OC_BLOCKS
    if WIDE:
        block = block.to(tl.int64)
    m = block * BLOCK_P + tl.arange(0, BLOCK_P)
    kept = m < batch * PIXELS
    b = m // PIXELS
    p = (m % PIXELS).to(tl.int32)
    iy0 = p // OW * SH - PAD_H
    ix0 = p % OW * SW - PAD_W
    rc = tl.arange(0, BLOCK_C)
    origin = ((b * H + iy0) * W + ix0) * (GROUPS * C) + group * C
    origin = tl.where(kept, origin, 0)[:, None] + rc[None, :]
    w_tile = (oc * C)[:, None] + rc[None, :]
    acc = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    STEPS: tl.constexpr = KH * KW * CHUNKS // SPLIT
    first = tl.program_id(2) * STEPS
    steps = STEPS
    if DIL_H > 1 and TOP > 0:
        # Taps of whole kernel rows that lie above or below the image for all pixels of the block
        # are left out: with a large dilation they are many. (Padding times an Inf in the weight is
        # then 0, not NaN.)
        p0 = (block * BLOCK_P % PIXELS).to(tl.int32)
        above = TOP - (p0 + BLOCK_P - 1) // OW * SH
        below = HEIGHT - 1 + TOP - p0 // OW * SH
        one_image = p0 + BLOCK_P <= PIXELS
        ky0 = tl.where(one_image, tl.maximum(0, (above + DIL_H - 1) // DIL_H), 0)
        ky1 = tl.where(one_image, tl.minimum(KH, below // DIL_H + 1), KH)
        end = tl.minimum(first + STEPS, ky1 * (KW * CHUNKS))
        first = tl.maximum(first, ky0 * (KW * CHUNKS))
        steps = end - first
    for step in tl.range(0, steps):
        t = first + step
        tap = t // CHUNKS
        c = t % CHUNKS * BLOCK_C
        dy = tap // KW * DIL_H
        dx = tap % KW * DIL_W
        x_at = x_ptr + ((dy * W + dx) * (GROUPS * C) + c)
        w_at = w_ptr + (tap * (OC * C) + c)
        if MASKED:
            iy = iy0 + dy
            ix = ix0 + dx
            inside = (kept & (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W))[:, None]
            if C % BLOCK_C != 0:
                inside = inside & (c + rc < C)[None, :]
            x = tl.load(x_at + origin, mask=inside, other=0.0)
        else:
            x = tl.load(x_at + origin)
        w_inside = oc_kept[:, None]
        if C % BLOCK_C != 0:
            w_inside = w_inside & (c + rc < C)[None, :]
        w = tl.load(w_at + w_tile, mask=w_inside, other=0.0)
        acc = tl.dot(w, x.T, acc)
    if SPLIT > 1:
        y_ptr += tl.program_id(2).to(tl.int64) * batch * (OC * PIXELS)
    else:
        acc += bias_of(bias_ptr, oc, OC, HAS_BIAS)[:, None]
        acc = pointwise(acc)
    if CHANNELS_LAST:
        where = oc[:, None] + (b * (OC * PIXELS) + p * OC)[None, :]
        tl.store(y_ptr + where, acc, mask=oc_kept[:, None] & kept[None, :])
    elif PIXELS % 2 == 0:
        where = (oc * PIXELS)[:, None] + (b * (OC * PIXELS) + p)[None, :]
        tl.store(y_ptr + where, acc, mask=oc_kept[:, None] & kept[None, :])
    else:
        # Neither axis of the tile is contiguous for the compiler, and a warp that lay along
        # channels would write to 32 sectors at once. As one run it lies along pixels.
        t = tl.arange(0, BLOCK_OC * BLOCK_P)
        oc = group * OCG + pid % OC_BLOCKS * BLOCK_OC + t // BLOCK_P
        m = block * BLOCK_P + t % BLOCK_P
        where = m // PIXELS * (OC * PIXELS) + oc * PIXELS + m % PIXELS
        kept = (oc < (group + 1) * OCG) & (m < batch * PIXELS)
        tl.store(y_ptr + where, acc.reshape([BLOCK_OC * BLOCK_P]), mask=kept)


@triton.jit
def sum_parts(
    parts_ptr,  # [SPLIT, size], each as y lies
    bias_ptr,  # [OC] or None
    y_ptr,  # [size]
    size,
    PIXELS: tl.constexpr,
    OC: tl.constexpr,
    SPLIT: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The sums of all parts, with what is done to a whole sum."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    for _ in tl.static_range(SPLIT):
        acc += tl.load(parts_ptr + at, mask=at < size, other=0.0)
        parts_ptr += size
    oc = at % OC if CHANNELS_LAST else at // PIXELS % OC
    acc += bias_of(bias_ptr, oc, OC, HAS_BIAS)
    acc = pointwise(acc)
    tl.store(y_ptr + at, acc, mask=at < size)


def conv2d_nhwc(x, weight, bias, stride, padding, dilation, groups, packed_c, split):
    """conv2d of x [B, G·C, H, W] with weight [OC, C, KH, KW]; padding: (top, left, bottom, right).

    packed_c: input channels of a group with zeros added (groups = 1 where they differ). Half
    precision in channels_last is read as it is; anything else is rewritten first. split: over so
    many blocks is the sum of an output; it divides the number of steps.
    """
    x, channels_last = in_its_layout(x)
    weight = weight.contiguous()
    batch, _, height, width = x.shape
    out_channels, channels, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty(
        (batch, out_channels, out_h, out_w),
        device=x.device,
        dtype=x.dtype,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    rounded = x.dtype == torch.float32
    as_it_is = channels_last and not rounded and packed_c == channels
    packed = packed_taps(weight, packed_c, rounded)
    source, source_h, source_w = x, height, width
    if not as_it_is:
        source, source_h, source_w = padded_nhwc(x, padding, packed_c * groups, 0)
    grid = lambda meta: (
        triton.cdiv(out_channels // groups, meta["BLOCK_OC"])
        * triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"]),
        groups,
        split,
    )
    target = y
    if split > 1:
        target = torch.empty(split * y.numel(), device=x.device, dtype=torch.float32)
    conv_nhwc[grid](
        source,
        packed,
        bias,
        target,
        batch,
        C=packed_c,
        H=source_h,
        W=source_w,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        GROUPS=groups,
        KH=kernel_h,
        KW=kernel_w,
        SH=stride[0],
        SW=stride[1],
        HEIGHT=height,
        TOP=top,
        PAD_H=top if as_it_is else 0,
        PAD_W=left if as_it_is else 0,
        DIL_H=dilation[0],
        DIL_W=dilation[1],
        HAS_BIAS=bias is not None,
        CHANNELS_LAST=channels_last,
        MASKED=as_it_is and max(padding) > 0,
        WIDE=max(source.numel(), y.numel()) > 2**31 - 2**20,
        SPLIT=split,
    )
    if split > 1:
        sum_parts[(triton.cdiv(y.numel(), 256),)](
            target,
            bias,
            y,
            y.numel(),
            PIXELS=out_h * out_w,
            OC=out_channels,
            SPLIT=split,
            HAS_BIAS=bias is not None,
            CHANNELS_LAST=channels_last,
            BLOCK=256,
        )
    return y
