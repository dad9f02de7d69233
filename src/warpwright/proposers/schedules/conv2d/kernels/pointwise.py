"""1×1 convolution as a matrix product on NCHW as it lies: out[b] = w · x[b], no pre-pass.

Pixels of the whole batch are one index m = b·PIXELS + p, so a tile may span small images. The
output channels of one pixel tile are neighbours in the grid: the second block that reads a tile of
x finds it in L2.

TF32 products on sm_90 want the reduced dimension innermost in shared memory, and x has pixels
innermost. With TURN the product is dot(x.T, w.T): x is the operand that comes from registers,
where it is turned and rounded anyway. 16-bit operands may lie either way: dot(w, x).
"""

import triton
import triton.language as tl

from warpwright.proposers.schedules.conv2d.kernels.prepass import round_tf32


@triton.jit
def locate(
    m,
    batch,
    K: tl.constexpr,
    OC: tl.constexpr,
    IN_PIXELS: tl.constexpr,
    WIDTH: tl.constexpr,
    PIXELS: tl.constexpr,
    OUT_W: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    LARGE: tl.constexpr,
):
    """Offsets of pixels m in channel 0 of x and of y, and which of them exist."""
    b = m // PIXELS
    p = m % PIXELS
    kept = m < batch * PIXELS
    if LARGE:
        b = b.to(tl.int64)
    source = p
    if SH != 1 or SW != 1:
        source = p // OUT_W * (SH * WIDTH) + p % OUT_W * SW
    return b * (K * IN_PIXELS) + source, b * (OC * PIXELS) + p, kept


@triton.jit
def write(
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
    if HAS_BIAS:
        bias = tl.load(bias_ptr + oc, mask=oc < OC, other=0.0).to(tl.float32)
        if TURN:
            acc += bias[None, :]
        else:
            acc += bias[:, None]
    if TURN:
        where = target[:, None] + (oc * PIXELS)[None, :]
        inside = kept[:, None] & (oc < OC)[None, :]
    else:
        where = target[None, :] + (oc * PIXELS)[:, None]
        inside = kept[None, :] & (oc < OC)[:, None]
    tl.store(y_ptr + where, acc.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def conv_pointwise(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    K: tl.constexpr,
    OC: tl.constexpr,
    IN_PIXELS: tl.constexpr,
    WIDTH: tl.constexpr,
    PIXELS: tl.constexpr,
    OUT_W: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    LARGE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROUND: tl.constexpr,
    TURN: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of BLOCK_OC channels by BLOCK_P pixels, K in steps of BLOCK_K."""
    oc_blocks: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    oc0 = tl.program_id(0) % oc_blocks * BLOCK_OC
    m = tl.program_id(0) // oc_blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    source, target, kept = locate(m, batch, K, OC, IN_PIXELS, WIDTH, PIXELS, OUT_W, SH, SW, LARGE)
    oc = oc0 + tl.arange(0, BLOCK_OC)
    rk = tl.arange(0, BLOCK_K)
    # Only one row of pointers lives through the loop: small images load value by value, and a
    # pointer for each would fill the registers.
    x_at = x_ptr + source[None, :]
    w_at = w_ptr + (oc * K)[:, None]
    if TURN:
        acc = tl.zeros([BLOCK_P, BLOCK_OC], dtype=tl.float32)
    else:
        acc = tl.zeros([BLOCK_OC, BLOCK_P], dtype=tl.float32)
    for k0 in tl.range(0, K, BLOCK_K):
        k = k0 + rk
        x_inside = kept[None, :]
        w_inside = (oc < OC)[:, None]
        if K % BLOCK_K != 0:
            x_inside = x_inside & (k < K)[:, None]
            w_inside = w_inside & (k < K)[None, :]
        x = tl.load(x_at + (k * IN_PIXELS)[:, None], mask=x_inside, other=0.0)
        w = tl.load(w_at + k[None, :], mask=w_inside, other=0.0)
        if ROUND:
            x = round_tf32(x)
            w = round_tf32(w)
        if TURN:
            acc = tl.dot(x.T, w.T, acc)
        else:
            acc = tl.dot(w, x, acc)
    write(y_ptr, acc, bias_ptr, oc, target, kept, OC, PIXELS, HAS_BIAS, TURN)


@triton.jit
def conv_pointwise_resident(
    x_ptr,
    w_ptr,
    bias_ptr,
    y_ptr,
    batch,
    K: tl.constexpr,
    OC: tl.constexpr,
    IN_PIXELS: tl.constexpr,
    WIDTH: tl.constexpr,
    PIXELS: tl.constexpr,
    OUT_W: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    LARGE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROUND: tl.constexpr,
    TURN: tl.constexpr,
    BLOCK_OC: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
):
    """For few input channels (K ≤ BLOCK_K): a block keeps its weights and runs over pixel tiles.

    One product makes one tile, so the loop is over tiles, and what is pipelined is the next
    tiles' loads. Bound by memory where K is small.
    """
    oc_blocks: tl.constexpr = (OC + BLOCK_OC - 1) // BLOCK_OC
    oc = tl.program_id(0) % oc_blocks * BLOCK_OC + tl.arange(0, BLOCK_OC)
    rk = tl.arange(0, BLOCK_K)
    w_inside = (oc < OC)[:, None] & (rk < K)[None, :]
    w = tl.load(w_ptr + (oc * K)[:, None] + rk[None, :], mask=w_inside, other=0.0)
    if ROUND:
        w = round_tf32(w)
    tiles = (batch * PIXELS + BLOCK_P - 1) // BLOCK_P
    first = tl.program_id(0) // oc_blocks
    for tile in tl.range(first, tiles, tl.num_programs(0) // oc_blocks, num_stages=STAGES):
        m = tile * BLOCK_P + tl.arange(0, BLOCK_P)
        source, target, kept = locate(
            m, batch, K, OC, IN_PIXELS, WIDTH, PIXELS, OUT_W, SH, SW, LARGE
        )
        x_inside = kept[None, :]
        if K % BLOCK_K != 0:
            x_inside = x_inside & (rk < K)[:, None]
        x_at = x_ptr + source[None, :] + (rk * IN_PIXELS)[:, None]
        x = tl.load(x_at, mask=x_inside, other=0.0)
        if ROUND:
            x = round_tf32(x)
        if TURN:
            acc = tl.dot(x.T, w.T)
        else:
            acc = tl.dot(w, x)
        write(y_ptr, acc, bias_ptr, oc, target, kept, OC, PIXELS, HAS_BIAS, TURN)
