"""Causal depthwise convolution along the sequence, with bias and SiLU, for narrow filters."""

import torch
import triton
import triton.language as tl


@triton.jit
def _causal_conv1d_kernel(
    x_ptr,
    w_ptr,
    bias_ptr,
    out_ptr,
    dim,
    seqlen,
    stride_xb,
    stride_xd,
    stride_xl,
    stride_wd,
    stride_ob,
    stride_od,
    stride_ol,
    WIDTH: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SILU: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(2).to(tl.int64)
    offs_d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    offs_l = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    d_mask = offs_d < dim
    x_base = x_ptr + batch * stride_xb + offs_d[:, None] * stride_xd
    acc = tl.zeros([BLOCK_D, BLOCK_L], dtype=tl.float32)
    if HAS_BIAS:
        acc += tl.load(bias_ptr + offs_d, mask=d_mask, other=0.0).to(tl.float32)[:, None]
    for i in tl.static_range(WIDTH):
        place = offs_l - (WIDTH - 1) + i
        mask = d_mask[:, None] & (place[None, :] >= 0) & (place[None, :] < seqlen)
        x = tl.load(x_base + place[None, :] * stride_xl, mask=mask, other=0.0)
        w = tl.load(w_ptr + offs_d * stride_wd + i, mask=d_mask, other=0.0)
        acc += x.to(tl.float32) * w.to(tl.float32)[:, None]
    if SILU:
        acc = acc * tl.sigmoid(acc)
    out = out_ptr + batch * stride_ob + offs_d[:, None] * stride_od + offs_l[None, :] * stride_ol
    tl.store(out, acc, mask=d_mask[:, None] & (offs_l[None, :] < seqlen))


def causal_conv1d(x, weight, bias=None, activation=None):
    """x [batch, dim, length], weight [dim, width]; output l sees inputs up to l."""
    if activation not in (None, "silu", "swish"):
        raise NotImplementedError("activation is None, silu or swish")
    batch, dim, seqlen = x.shape
    width = weight.shape[1]
    out = torch.empty_like(x)
    block_d, block_l = 8, 256
    grid = (triton.cdiv(seqlen, block_l), triton.cdiv(dim, block_d), batch)
    _causal_conv1d_kernel[grid](
        x,
        weight,
        bias,
        out,
        dim,
        seqlen,
        *x.stride(),
        weight.stride(0),
        *out.stride(),
        WIDTH=width,
        HAS_BIAS=bias is not None,
        SILU=activation in ("silu", "swish"),
        BLOCK_D=block_d,
        BLOCK_L=block_l,
        num_warps=4,
    )
    return out
