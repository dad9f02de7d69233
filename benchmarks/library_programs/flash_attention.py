"""Attention with a running softmax, forward; optionally causal, optionally with grouped keys."""

import torch
import triton
import triton.language as tl


def _keep(config):
    """Small tiles do not feed eight warps."""
    return not (
        config.kwargs["BLOCK_M"] * config.kwargs["BLOCK_N"] < 128 * 64 and config.num_warps == 8
    )


_CONFIGS = [
    triton.Config({"BLOCK_M": m, "BLOCK_N": n}, num_stages=s, num_warps=w)
    for m in [64, 128]
    for n in [32, 64]
    for s in [2, 3]
    for w in [4, 8]
]


def _prune(configs, named_args, **kwargs):
    """No query tiles beyond the sequence."""
    length = named_args["N_CTX"]
    return [c for c in configs if c.kwargs["BLOCK_M"] <= max(64, length)]


@triton.jit
def _inner(
    acc,
    l_i,
    m_i,
    q,
    k_ptrs,
    v_ptrs,
    stride_kn,
    stride_vn,
    offs_m,
    offs_n,
    lo,
    hi,
    N_CTX,
    qk_scale,
    MASKED: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    k_ptrs += lo * stride_kn
    v_ptrs += lo * stride_vn
    for start_n in range(lo, hi, BLOCK_N):
        start_n = tl.multiple_of(start_n, BLOCK_N)
        cols = start_n + offs_n
        if MASKED:
            k = tl.load(k_ptrs, mask=cols[None, :] < N_CTX, other=0.0)
        else:
            k = tl.load(k_ptrs)
        qk = tl.dot(q, k) * qk_scale
        if MASKED:
            seen = cols[None, :] < N_CTX
            if CAUSAL:
                seen = seen & (offs_m[:, None] >= cols[None, :])
            qk = tl.where(seen, qk, -1.0e6)
        m_ij = tl.maximum(m_i, tl.max(qk, 1))
        p = tl.math.exp2(qk - m_ij[:, None])
        alpha = tl.math.exp2(m_i - m_ij)
        l_i = l_i * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None]
        if MASKED:
            v = tl.load(v_ptrs, mask=cols[:, None] < N_CTX, other=0.0)
        else:
            v = tl.load(v_ptrs)
        acc = tl.dot(p.to(v.dtype), v, acc)
        m_i = m_ij
        k_ptrs += BLOCK_N * stride_kn
        v_ptrs += BLOCK_N * stride_vn
    return acc, l_i, m_i


@triton.autotune(
    configs=list(filter(_keep, _CONFIGS)),
    key=["N_CTX", "HEAD_DIM", "CAUSAL"],
    prune_configs_by={"early_config_prune": _prune},
)
@triton.jit
def _attention_forward(
    Q,
    K,
    V,
    sm_scale,
    LSE,
    Out,
    stride_qz,
    stride_qh,
    stride_qm,
    stride_kz,
    stride_kh,
    stride_kn,
    stride_vz,
    stride_vh,
    stride_vn,
    stride_oz,
    stride_oh,
    stride_om,
    H,
    GROUP,
    N_CTX,
    HEAD_DIM: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    start_m = tl.program_id(0)
    off_hz = tl.program_id(1)
    off_z = (off_hz // H).to(tl.int64)
    off_h = (off_hz % H).to(tl.int64)
    off_kv = off_h // GROUP
    offs_m = start_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_n = tl.arange(0, BLOCK_N)
    offs_d = tl.arange(0, HEAD_DIM)
    q_base = Q + off_z * stride_qz + off_h * stride_qh
    k_ptrs = K + off_z * stride_kz + off_kv * stride_kh
    k_ptrs += offs_d[:, None] + offs_n[None, :] * stride_kn
    v_ptrs = V + off_z * stride_vz + off_kv * stride_vh
    v_ptrs += offs_n[:, None] * stride_vn + offs_d[None, :]
    row_mask = offs_m[:, None] < N_CTX
    q = tl.load(q_base + offs_m[:, None] * stride_qm + offs_d[None, :], mask=row_mask, other=0.0)
    qk_scale = sm_scale * 1.4426950408889634
    m_i = tl.full([BLOCK_M], -float("inf"), dtype=tl.float32)
    l_i = tl.zeros([BLOCK_M], dtype=tl.float32)
    acc = tl.zeros([BLOCK_M, HEAD_DIM], dtype=tl.float32)
    # Whole tiles first, which need no mask; then those on the diagonal and at the end.
    end = N_CTX
    whole = N_CTX // BLOCK_N * BLOCK_N
    if CAUSAL:
        end = tl.minimum(N_CTX, (start_m + 1) * BLOCK_M)
        whole = tl.minimum(whole, start_m * BLOCK_M // BLOCK_N * BLOCK_N)
    acc, l_i, m_i = _inner(
        acc, l_i, m_i, q, k_ptrs, v_ptrs, stride_kn, stride_vn, offs_m, offs_n,
        0, whole, N_CTX, qk_scale, MASKED=False, CAUSAL=CAUSAL, BLOCK_N=BLOCK_N,
    )  # fmt: skip
    acc, l_i, m_i = _inner(
        acc, l_i, m_i, q, k_ptrs, v_ptrs, stride_kn, stride_vn, offs_m, offs_n,
        whole, end, N_CTX, qk_scale, MASKED=True, CAUSAL=CAUSAL, BLOCK_N=BLOCK_N,
    )  # fmt: skip
    acc = acc / l_i[:, None]
    lse = m_i + tl.math.log2(l_i)
    tl.store(LSE + off_hz.to(tl.int64) * N_CTX + offs_m, lse, mask=offs_m < N_CTX)
    o_ptrs = Out + off_z * stride_oz + off_h * stride_oh
    o_ptrs += offs_m[:, None] * stride_om + offs_d[None, :]
    tl.store(o_ptrs, acc.to(Out.dtype.element_ty), mask=row_mask)


def flash_attention(q, k, v, causal=False, sm_scale=None):
    """q [batch, heads, length, dim]; k and v with as many heads or a divisor of them."""
    batch, heads, length, dim = q.shape
    assert dim in {16, 32, 64, 128, 256}
    if sm_scale is None:
        sm_scale = dim**-0.5
    out = torch.empty_like(q)
    lse = torch.empty((batch, heads, length), device=q.device, dtype=torch.float32)
    grid = lambda args: (triton.cdiv(length, args["BLOCK_M"]), batch * heads)
    _attention_forward[grid](
        q,
        k,
        v,
        sm_scale,
        lse,
        out,
        q.stride(0),
        q.stride(1),
        q.stride(2),
        k.stride(0),
        k.stride(1),
        k.stride(2),
        v.stride(0),
        v.stride(1),
        v.stride(2),
        out.stride(0),
        out.stride(1),
        out.stride(2),
        heads,
        heads // k.shape[1],
        length,
        HEAD_DIM=dim,
        CAUSAL=causal,
    )
    return out
