"""Attention as an autograd function: the backward pass makes the weights again from the sums."""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _forward(
    Q,
    K,
    V,
    Out,
    LSE,
    sm_scale,
    stride_h,
    stride_n,
    N_CTX,
    HEAD_DIM: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    start_m = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    offs_m = start_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_d = tl.arange(0, HEAD_DIM)
    base = head * stride_h
    rows = base + offs_m[:, None] * stride_n + offs_d[None, :]
    q = tl.load(Q + rows, mask=offs_m[:, None] < N_CTX, other=0.0)
    m_i = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l_i = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    end = tl.minimum((start_m + 1) * BLOCK_M, N_CTX) if CAUSAL else N_CTX
    for start in range(0, end, BLOCK_N):
        offs_n = start + tl.arange(0, BLOCK_N)
        kv = base + offs_n[:, None] * stride_n + offs_d[None, :]
        k = tl.load(K + kv, mask=offs_n[:, None] < N_CTX, other=0.0)
        s = tl.dot(q, tl.trans(k)) * (sm_scale * LOG2E)
        seen = offs_n[None, :] < N_CTX
        if CAUSAL:
            seen = seen & (offs_m[:, None] >= offs_n[None, :])
        s = tl.where(seen, s, -1.0e6)
        m_new = tl.maximum(m_i, tl.max(s, 1))
        alpha = tl.math.exp2(m_i - m_new)
        p = tl.math.exp2(s - m_new[:, None])
        l_i = l_i * alpha + tl.sum(p, 1)
        v = tl.load(V + kv, mask=offs_n[:, None] < N_CTX, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p.to(v.dtype), v)
        m_i = m_new
    tl.store(
        Out + rows, (acc / l_i[:, None]).to(Out.dtype.element_ty), mask=offs_m[:, None] < N_CTX
    )
    tl.store(LSE + head * N_CTX + offs_m, m_i + tl.math.log2(l_i), mask=offs_m < N_CTX)


@triton.jit
def _backward_preprocess(
    Out, DOut, Delta, stride_h, stride_n, N_CTX, HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr
):
    head = tl.program_id(1).to(tl.int64)
    offs_m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    rows = head * stride_h + offs_m[:, None] * stride_n + tl.arange(0, HEAD_DIM)[None, :]
    mask = offs_m[:, None] < N_CTX
    o = tl.load(Out + rows, mask=mask, other=0.0).to(tl.float32)
    do = tl.load(DOut + rows, mask=mask, other=0.0).to(tl.float32)
    tl.store(Delta + head * N_CTX + offs_m, tl.sum(o * do, 1), mask=offs_m < N_CTX)


@triton.jit
def _backward_dkdv(
    Q,
    K,
    V,
    DOut,
    DK,
    DV,
    LSE,
    Delta,
    sm_scale,
    stride_h,
    stride_n,
    N_CTX,
    HEAD_DIM: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    start_n = tl.program_id(0) * BLOCK_N
    head = tl.program_id(1).to(tl.int64)
    base = head * stride_h
    offs_n = start_n + tl.arange(0, BLOCK_N)
    offs_d = tl.arange(0, HEAD_DIM)
    kv = base + offs_n[:, None] * stride_n + offs_d[None, :]
    kv_mask = offs_n[:, None] < N_CTX
    k = tl.load(K + kv, mask=kv_mask, other=0.0)
    v = tl.load(V + kv, mask=kv_mask, other=0.0)
    dk = tl.zeros([BLOCK_N, HEAD_DIM], tl.float32)
    dv = tl.zeros([BLOCK_N, HEAD_DIM], tl.float32)
    first = start_n // BLOCK_M * BLOCK_M if CAUSAL else 0
    for start in range(first, N_CTX, BLOCK_M):
        offs_m = start + tl.arange(0, BLOCK_M)
        rows = base + offs_m[:, None] * stride_n + offs_d[None, :]
        m_mask = offs_m < N_CTX
        q = tl.load(Q + rows, mask=m_mask[:, None], other=0.0)
        do = tl.load(DOut + rows, mask=m_mask[:, None], other=0.0)
        lse = tl.load(LSE + head * N_CTX + offs_m, mask=m_mask, other=0.0)
        delta = tl.load(Delta + head * N_CTX + offs_m, mask=m_mask, other=0.0)
        st = tl.dot(k, tl.trans(q)) * (sm_scale * LOG2E)
        seen = m_mask[None, :] & kv_mask
        if CAUSAL:
            seen = seen & (offs_m[None, :] >= offs_n[:, None])
        pt = tl.where(seen, tl.math.exp2(st - lse[None, :]), 0.0)
        dv += tl.dot(pt.to(do.dtype), do)
        dpt = tl.dot(v, tl.trans(do))
        dst = pt * (dpt - delta[None, :])
        dk += tl.dot(dst.to(q.dtype), q)
    tl.store(DK + kv, (dk * sm_scale).to(DK.dtype.element_ty), mask=kv_mask)
    tl.store(DV + kv, dv.to(DV.dtype.element_ty), mask=kv_mask)


@triton.jit
def _backward_dq(
    Q,
    K,
    V,
    DOut,
    DQ,
    LSE,
    Delta,
    sm_scale,
    stride_h,
    stride_n,
    N_CTX,
    HEAD_DIM: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    start_m = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1).to(tl.int64)
    base = head * stride_h
    offs_m = start_m + tl.arange(0, BLOCK_M)
    offs_d = tl.arange(0, HEAD_DIM)
    rows = base + offs_m[:, None] * stride_n + offs_d[None, :]
    m_mask = offs_m < N_CTX
    q = tl.load(Q + rows, mask=m_mask[:, None], other=0.0)
    do = tl.load(DOut + rows, mask=m_mask[:, None], other=0.0)
    lse = tl.load(LSE + head * N_CTX + offs_m, mask=m_mask, other=0.0)
    delta = tl.load(Delta + head * N_CTX + offs_m, mask=m_mask, other=0.0)
    dq = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    end = tl.minimum(start_m + BLOCK_M, N_CTX) if CAUSAL else N_CTX
    for start in range(0, end, BLOCK_N):
        offs_n = start + tl.arange(0, BLOCK_N)
        kv = base + offs_n[:, None] * stride_n + offs_d[None, :]
        k = tl.load(K + kv, mask=offs_n[:, None] < N_CTX, other=0.0)
        v = tl.load(V + kv, mask=offs_n[:, None] < N_CTX, other=0.0)
        s = tl.dot(q, tl.trans(k)) * (sm_scale * LOG2E)
        seen = m_mask[:, None] & (offs_n[None, :] < N_CTX)
        if CAUSAL:
            seen = seen & (offs_m[:, None] >= offs_n[None, :])
        p = tl.where(seen, tl.math.exp2(s - lse[:, None]), 0.0)
        dp = tl.dot(do, tl.trans(v))
        ds = p * (dp - delta[:, None])
        dq += tl.dot(ds.to(k.dtype), k)
    tl.store(DQ + rows, (dq * sm_scale).to(DQ.dtype.element_ty), mask=m_mask[:, None])


class FlashAttention(torch.autograd.Function):
    """Attention of q, k and v [batch, heads, length, dim], contiguous."""

    @staticmethod
    def forward(ctx, q, k, v, causal, sm_scale):
        batch, heads, length, dim = q.shape
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out = torch.empty_like(q)
        lse = torch.empty((batch * heads, length), device=q.device, dtype=torch.float32)
        block_m, block_n = 128, 64 if dim <= 64 else 32
        _forward[(triton.cdiv(length, block_m), batch * heads)](
            q,
            k,
            v,
            out,
            lse,
            sm_scale,
            q.stride(1),
            q.stride(2),
            length,
            HEAD_DIM=dim,
            CAUSAL=causal,
            BLOCK_M=block_m,
            BLOCK_N=block_n,
            num_warps=4 if dim <= 64 else 8,
            num_stages=3,
        )
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.causal, ctx.sm_scale = causal, sm_scale
        return out

    @staticmethod
    def backward(ctx, dout):
        q, k, v, out, lse = ctx.saved_tensors
        dout = dout.contiguous()
        batch, heads, length, dim = q.shape
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        delta = torch.empty_like(lse)
        sizes = (q.stride(1), q.stride(2), length)
        _backward_preprocess[(triton.cdiv(length, 128), batch * heads)](
            out, dout, delta, *sizes, HEAD_DIM=dim, BLOCK_M=128
        )
        options = {"HEAD_DIM": dim, "CAUSAL": ctx.causal, "num_warps": 4, "num_stages": 2}
        _backward_dkdv[(triton.cdiv(length, 64), batch * heads)](
            q,
            k,
            v,
            dout,
            dk,
            dv,
            lse,
            delta,
            ctx.sm_scale,
            *sizes,
            BLOCK_M=32,
            BLOCK_N=64,
            **options,
        )
        _backward_dq[(triton.cdiv(length, 64), batch * heads)](
            q, k, v, dout, dq, lse, delta, ctx.sm_scale, *sizes, BLOCK_M=64, BLOCK_N=32, **options
        )
        return dq, dk, dv, None, None
