"""Attention of one new token over keys and values in pages, as a server decodes."""

import torch
import triton
import triton.language as tl


@triton.jit
def _paged_decode_kernel(
    out_ptr,
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    block_tables_ptr,
    context_lens_ptr,
    scale,
    stride_qb,
    stride_qh,
    stride_kb,
    stride_kt,
    stride_kh,
    stride_tb,
    HEAD_DIM: tl.constexpr,
    PAGE: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_PADDED: tl.constexpr,
):
    """One block: one sequence, one head of the keys, and all query heads that share it."""
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    context_len = tl.load(context_lens_ptr + seq)
    offs_g = tl.arange(0, GROUP_PADDED)
    offs_d = tl.arange(0, HEAD_DIM)
    offs_t = tl.arange(0, PAGE)
    group_mask = offs_g < GROUP
    q_offsets = seq * stride_qb + (kv_head * GROUP + offs_g[:, None]) * stride_qh + offs_d[None, :]
    q = tl.load(q_ptr + q_offsets, mask=group_mask[:, None], other=0.0)
    m_i = tl.full([GROUP_PADDED], float("-inf"), dtype=tl.float32)
    l_i = tl.zeros([GROUP_PADDED], dtype=tl.float32)
    acc = tl.zeros([GROUP_PADDED, HEAD_DIM], dtype=tl.float32)
    for page in range(tl.cdiv(context_len, PAGE)):
        block = tl.load(block_tables_ptr + seq * stride_tb + page).to(tl.int64)
        kv_offsets = block * stride_kb + kv_head * stride_kh
        kv_offsets += offs_t[:, None] * stride_kt + offs_d[None, :]
        valid = page * PAGE + offs_t < context_len
        k = tl.load(k_cache_ptr + kv_offsets, mask=valid[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k)) * scale
        scores = tl.where(valid[None, :], scores, float("-inf"))
        m_new = tl.maximum(m_i, tl.max(scores, axis=1))
        alpha = tl.exp(m_i - m_new)
        p = tl.exp(scores - m_new[:, None])
        v = tl.load(v_cache_ptr + kv_offsets, mask=valid[:, None], other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p.to(v.dtype), v)
        l_i = l_i * alpha + tl.sum(p, axis=1)
        m_i = m_new
    out = acc / l_i[:, None]
    tl.store(out_ptr + q_offsets, out.to(out_ptr.dtype.element_ty), mask=group_mask[:, None])


def paged_attention(q, k_cache, v_cache, block_tables, context_lens, scale=None):
    """q [seqs, heads, dim]; caches [blocks, page, kv heads, dim]; block_tables [seqs, pages]."""
    seqs, heads, dim = q.shape
    _, page, kv_heads, _ = k_cache.shape
    group = heads // kv_heads
    if scale is None:
        scale = dim**-0.5
    out = torch.empty_like(q)
    _paged_decode_kernel[(seqs, kv_heads)](
        out,
        q,
        k_cache,
        v_cache,
        block_tables,
        context_lens,
        scale,
        q.stride(0),
        q.stride(1),
        k_cache.stride(0),
        k_cache.stride(1),
        k_cache.stride(2),
        block_tables.stride(0),
        HEAD_DIM=dim,
        PAGE=page,
        GROUP=group,
        GROUP_PADDED=max(16, triton.next_power_of_2(group)),
        num_warps=4,
        num_stages=2,
    )
    return out
