"""1×1 convolution as a matrix product on NCHW as it lies: out[b] = w · x[b], no pre-pass.

Pixels of the whole batch are one index m = b·PIXELS + p, so a tile may span small images. The
output channels of one pixel tile are neighbours in the grid: the second block that reads a tile of
x finds it in L2.

TF32 products on sm_90 want the reduced dimension innermost in shared memory, and x has pixels
innermost. With TURN the product is dot(x.T, w.T): x is the operand that comes from registers,
where it is turned and rounded anyway. 16-bit operands may lie either way: dot(w, x).
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.epilogue import bias_of, pointwise
from warpwright.operators.conv2d.kernels.prepass import round_tf32


@triton.jit
def locate(
    m,
    batch,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
):
    """Offsets of pixels m in channel 0 of x and of y, and which of them exist."""
    PIXELS: tl.constexpr = OH * OW
    b = m // PIXELS
    p = m % PIXELS
    source = p
    if SH != 1 or SW != 1 or PIXELS != H * W:
        source = p // OW * (SH * W) + p % OW * SW
    return b * (C * H * W) + source, b * (OC * PIXELS) + p, b < batch


@triton.jit
def store_tile(
    y_ptr,
    acc,
    bias_ptr,
    oc,
    target,
    kept,
    OC: tl.constexpr,
    PIXELS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    TURN: tl.constexpr,
):
    """acc is [oc, pixels], or [pixels, oc] with TURN."""
    bias = bias_of(bias_ptr, oc, OC, HAS_BIAS)
    if TURN:
        acc += bias[None, :]
        where = target[:, None] + (oc * PIXELS)[None, :]
        inside = kept[:, None] & (oc < OC)[None, :]
    else:
        acc += bias[:, None]
        where = target[None, :] + (oc * PIXELS)[:, None]
        inside = kept[None, :] & (oc < OC)[:, None]
    acc = pointwise(acc)
    tl.store(y_ptr + where, acc, mask=inside)


@triton.jit
def conv_pointwise(
    x_ptr,  # [batch, C, H, W]
    w_ptr,  # [OC, C]
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    batch,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,  # offsets of 64 bits
    TURN: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of BLOCK_OC channels by BLOCK_P pixels, input channels in steps of BLOCK_K."""
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    tile = tl.program_id(0) // OC_BLOCKS
    if WIDE:
        tile = tile.to(tl.int64)
    m = tile * BLOCK_P + tl.arange(0, BLOCK_P)
    source, target, kept = locate(m, batch, C, H, W, OC, OH, OW, SH, SW)
    oc = tl.program_id(0) % OC_BLOCKS * BLOCK_OC + tl.arange(0, BLOCK_OC)
    rk = tl.arange(0, BLOCK_K)
    # Only one row of pointers lives through the loop: small images load value by value, and a
    # pointer for each would fill the registers.
    x_at = x_ptr + source[None, :]
    w_at = w_ptr + (oc * C)[:, None]
    if TURN:
        acc = tl.zeros([BLOCK_P, BLOCK_OC], dtype=tl.float32)
    else:
        acc = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    for k0 in tl.range(0, C, BLOCK_K):
        k = k0 + rk
        x_inside = kept[None, :]
        w_inside = (oc < OC)[:, None]
        if C % BLOCK_K != 0:
            x_inside = x_inside & (k < C)[:, None]
            w_inside = w_inside & (k < C)[None, :]
        x = tl.load(x_at + (k * (H * W))[:, None], mask=x_inside, other=0.0)
        w = tl.load(w_at + k[None, :], mask=w_inside, other=0.0)
        if ROUND:
            x = round_tf32(x)
            w = round_tf32(w)
        if TURN:
            acc = tl.dot(x.T, w.T, acc, input_precision=PRECISION)
        else:
            acc = tl.dot(w, x, acc, input_precision=PRECISION)
    store_tile(y_ptr, acc, bias_ptr, oc, target, kept, OC, OH * OW, HAS_BIAS, TURN)


@triton.jit
def conv_pointwise_resident(
    x_ptr,  # [batch, C, H, W]
    w_ptr,  # [OC, C]
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
    batch,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OC: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,  # offsets of 64 bits
    TURN: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """For few input channels (C ≤ BLOCK_K): a block keeps its weights and runs over pixel tiles.

    One product makes one tile, so the loop is over tiles, and what is pipelined is the next
    tiles' loads. Bound by memory where they are few.
    """
    OC_BLOCKS: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    oc = tl.program_id(0) % OC_BLOCKS * BLOCK_OC + tl.arange(0, BLOCK_OC)
    rk = tl.arange(0, BLOCK_K)
    w_inside = (oc < OC)[:, None] & (rk < C)[None, :]
    w = tl.load(w_ptr + (oc * C)[:, None] + rk[None, :], mask=w_inside, other=0.0)
    if ROUND:
        w = round_tf32(w)
    tiles = (batch * (OH * OW) + BLOCK_P - 1) // BLOCK_P
    first = tl.program_id(0) // OC_BLOCKS
    for tile in tl.range(first, tiles, tl.num_programs(0) // OC_BLOCKS):
        m = tile * BLOCK_P + tl.arange(0, BLOCK_P)
        if WIDE:
            m = m.to(tl.int64)
        source, target, kept = locate(m, batch, C, H, W, OC, OH, OW, SH, SW)
        x_inside = kept[None, :]
        if C % BLOCK_K != 0:
            x_inside = x_inside & (rk < C)[:, None]
        x_at = x_ptr + source[None, :] + (rk * (H * W))[:, None]
        x = tl.load(x_at, mask=x_inside, other=0.0)
        if ROUND:
            x = round_tf32(x)
        if TURN:
            acc = tl.dot(x.T, w.T, input_precision=PRECISION)
        else:
            acc = tl.dot(w, x, input_precision=PRECISION)
        store_tile(y_ptr, acc, bias_ptr, oc, target, kept, OC, OH * OW, HAS_BIAS, TURN)


def conv2d_pointwise(x, weight, bias, stride, precision):
    """conv2d of x [B, C, H, W] with weight [OC, C, 1, 1], without padding.

    precision: how fp32 operands multiply; "tf32" rounds them to nearest first.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels = weight.shape[0]
    out_h, out_w = (height - 1) // stride[0] + 1, (width - 1) // stride[1] + 1
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    grid = lambda meta: (
        triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"])
        * triton.cdiv(out_channels, meta["BLOCK_OC"]),
    )
    conv_pointwise[grid](
        x,
        weight,
        bias,
        y,
        batch,
        C=channels,
        H=height,
        W=width,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        SH=stride[0],
        SW=stride[1],
        HAS_BIAS=bias is not None,
        ROUND=precision == "tf32" and x.dtype == torch.float32,
        PRECISION=precision,
        WIDE=max(x.numel(), y.numel()) > 2**31 - 2**20,
    )
    return y


def conv2d_pointwise_resident(
    x, weight, bias, stride, precision, multiprocessors=132, shared_bytes=232448
):
    """conv2d of x [B, C, H, W] with weight [OC, C, 1, 1], without padding; few channels C.

    precision: how fp32 operands multiply; "tf32" rounds them to nearest first. The grid is as many
    blocks as run at once on a card of so many multiprocessors, two on each if they fit.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels = weight.shape[0]
    out_h, out_w = (height - 1) // stride[0] + 1, (width - 1) // stride[1] + 1
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)

    def grid(meta):
        held = (meta["BLOCK_OC"] + 3 * meta["BLOCK_P"]) * meta["BLOCK_K"] * x.element_size()
        at_once = multiprocessors * max(1, min(2, shared_bytes // held))
        tiles = triton.cdiv(batch * out_h * out_w, meta["BLOCK_P"])
        return (min(tiles, at_once) * triton.cdiv(out_channels, meta["BLOCK_OC"]),)

    conv_pointwise_resident[grid](
        x,
        weight,
        bias,
        y,
        batch,
        C=channels,
        H=height,
        W=width,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        SH=stride[0],
        SW=stride[1],
        HAS_BIAS=bias is not None,
        ROUND=precision == "tf32" and x.dtype == torch.float32,
        PRECISION=precision,
        WIDE=max(x.numel(), y.numel()) > 2**31 - 2**20,
    )
    return y
