"""Implicit GEMM that gathers its input windows from NCHW as it goes: no pre-pass, any problem.

Pixels (over the whole batch) lie along M, so that the input tile may be a register operand and is
rounded there. The reduced dimension is (c, ky, kx) with kx padded to PAD_KW: where that, stride
and padding are even, two neighbouring taps are loaded at once, and loads this small go through
L1, which then serves the overlap of neighbouring windows.

Channels are split into BLOCK_A + BLOCK_B so that 96 of them need not be padded to 128;
BLOCK_B = 0 means one block.
"""

import torch
import triton
import triton.language as tl

from warpwright.operators.conv2d.kernels.epilogue import bias_of, pointwise
from warpwright.operators.conv2d.kernels.layout import output_size
from warpwright.operators.conv2d.kernels.prepass import pack_rows, round_tf32


@triton.jit
def gather(
    x_ptr,
    origin,
    iy0,
    ix0,
    k,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    PAD_KW: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    ROUND: tl.constexpr,
):
    """The input tile [pixels, taps] for taps k; zeros outside of the image and the kernel."""
    kx = k % PAD_KW
    ky = k // PAD_KW % KH
    c = k // (PAD_KW * KH)
    iy = iy0[:, None] + (ky * DIL_H)[None, :]
    ix = ix0[:, None] + (kx * DIL_W)[None, :]
    inside = (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W) & (c < C)[None, :]
    offset = c * (H * W) + ky * (DIL_H * W) + kx * DIL_W
    x = tl.load(x_ptr + (origin[:, None] + offset[None, :]), mask=inside, other=0.0)
    if PAD_KW != KW:
        # The weight is zero there, but zero times Inf is not.
        x = tl.where((kx < KW)[None, :], x, 0.0)
    if ROUND:
        x = round_tf32(x)
    return x


@triton.jit
def store_channels(
    y_ptr,
    acc,
    bias_ptr,
    where,
    kept,
    oc,
    oc_end,
    OC: tl.constexpr,
    PIXELS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """Stores acc [pixels, channels] to y[b, oc, p], `where` being the offset of (b, 0, p)."""
    acc += bias_of(bias_ptr, oc, OC, HAS_BIAS)[None, :]
    acc = pointwise(acc)
    inside = kept[:, None] & (oc < oc_end)[None, :]
    at = where[:, None] + (oc * PIXELS)[None, :]
    if PIXELS % 2 != 0:
        # Neither axis is contiguous for the compiler: as one run, a warp lies along pixels.
        SIZE: tl.constexpr = acc.shape[0] * acc.shape[1]
        tl.store(y_ptr + at.T.reshape([SIZE]), acc.T.reshape([SIZE]), mask=inside.T.reshape([SIZE]))
    else:
        tl.store(y_ptr + at, acc, mask=inside)


@triton.jit
def conv_direct(
    x_ptr,  # [batch, G·C, H, W]
    w_ptr,  # packed: [OC, K], taps ordered (c, ky, kx)
    bias_ptr,  # [OC] or None
    y_ptr,  # [batch, OC, OH, OW]
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
    PAD_KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DIL_H: tl.constexpr,
    DIL_W: tl.constexpr,
    K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,  # offsets of 64 bits
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_A: tl.constexpr,
    BLOCK_B: tl.constexpr,
):
    PIXELS: tl.constexpr = OH * OW
    OCG: tl.constexpr = OC // GROUPS
    block = tl.program_id(0)
    if WIDE:
        block = block.to(tl.int64)
    m = block * BLOCK_M + tl.arange(0, BLOCK_M)
    kept = m < batch * PIXELS
    b = m // PIXELS
    p = (m % PIXELS).to(tl.int32)
    iy0 = tl.where(kept, p // OW * SH - PAD_H, H)  # a pixel that does not exist reads nothing
    ix0 = p % OW * SW - PAD_W
    group = tl.program_id(2)
    origin = b * (GROUPS * C * H * W) + group * (C * H * W) + iy0 * W + ix0
    oc0 = group * OCG + tl.program_id(1) * (BLOCK_A + BLOCK_B)
    oc_end = (group + 1) * OCG
    rk = tl.arange(0, BLOCK_K)
    oc_a = oc0 + tl.arange(0, BLOCK_A)
    w_a = w_ptr + oc_a[:, None] * K + rk[None, :]
    acc_a = tl.zeros([BLOCK_M, BLOCK_A], dtype=tl.float32)
    if BLOCK_B > 0:
        oc_b = oc0 + BLOCK_A + tl.arange(0, BLOCK_B)
        w_b = w_ptr + oc_b[:, None] * K + rk[None, :]
        acc_b = tl.zeros([BLOCK_M, BLOCK_B], dtype=tl.float32)
    for k0 in tl.range(0, K, BLOCK_K):
        x = gather(x_ptr, origin, iy0, ix0, k0 + rk, C, H, W, KH, KW, PAD_KW, DIL_H, DIL_W, ROUND)
        # With OC % BLOCK = 0 the compiler drops these masks.
        w = tl.load(w_a + k0, mask=(oc_a < OC)[:, None], other=0.0)
        acc_a = tl.dot(x, w.T, acc_a, input_precision=PRECISION)
        if BLOCK_B > 0:
            w = tl.load(w_b + k0, mask=(oc_b < OC)[:, None], other=0.0)
            acc_b = tl.dot(x, w.T, acc_b, input_precision=PRECISION)
    where = b * (OC * PIXELS) + p
    store_channels(y_ptr, acc_a, bias_ptr, where, kept, oc_a, oc_end, OC, PIXELS, HAS_BIAS)
    if BLOCK_B > 0:
        store_channels(y_ptr, acc_b, bias_ptr, where, kept, oc_b, oc_end, OC, PIXELS, HAS_BIAS)


def conv2d_direct(x, weight, bias, stride, padding, dilation, groups, precision, pad_kw):
    """conv2d of x [B, G·C, H, W] with weight [OC, C, KH, KW]; padding: (top, left, bottom, right).

    precision: how fp32 operands multiply; "tf32" rounds them to nearest first.
    """
    x, weight = x.contiguous(), weight.contiguous()
    batch, _, height, width = x.shape
    out_channels, channels, kernel_h, kernel_w = weight.shape
    top, left, _, _ = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty((batch, out_channels, out_h, out_w), device=x.device, dtype=x.dtype)
    rounded = precision == "tf32" and x.dtype == torch.float32
    k = triton.cdiv(channels * kernel_h * pad_kw, 64) * 64  # every BLOCK_K divides it
    packed = torch.empty((out_channels, k), device=x.device, dtype=x.dtype)
    pack_rows[(triton.cdiv(k, 256), out_channels)](
        weight, packed, channels, k, kernel_h, kernel_w, PAD_KW=pad_kw, BLOCK=256, ROUND=rounded
    )
    grid = lambda meta: (
        triton.cdiv(batch * out_h * out_w, meta["BLOCK_M"]),
        triton.cdiv(out_channels // groups, meta["BLOCK_A"] + meta["BLOCK_B"]),
        groups,
    )
    conv_direct[grid](
        x,
        packed,
        bias,
        y,
        batch,
        C=channels,
        H=height,
        W=width,
        OC=out_channels,
        OH=out_h,
        OW=out_w,
        GROUPS=groups,
        KH=kernel_h,
        KW=kernel_w,
        PAD_KW=pad_kw,
        SH=stride[0],
        SW=stride[1],
        PAD_H=top,
        PAD_W=left,
        DIL_H=dilation[0],
        DIL_W=dilation[1],
        K=k,
        HAS_BIAS=bias is not None,
        ROUND=rounded,
        PRECISION=precision,
        WIDE=max(x.numel(), y.numel()) > 2**31 - 2**20,
    )
    return y
