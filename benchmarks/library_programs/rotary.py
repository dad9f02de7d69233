"""Rotary embedding of queries and keys, in place."""

import torch
import triton
import triton.language as tl


@triton.jit
def _rotary_kernel(
    q_ptr,
    q_token_stride,
    k_ptr,
    k_token_stride,
    cos_ptr,
    sin_ptr,
    table_stride,
    seq_len,
    n_q_heads: tl.constexpr,
    n_k_heads: tl.constexpr,
    head_dim: tl.constexpr,
    PADDED_Q_HEADS: tl.constexpr,
    PADDED_K_HEADS: tl.constexpr,
    PADDED_HALF: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    position = token % seq_len
    half: tl.constexpr = head_dim // 2
    dims = tl.arange(0, PADDED_HALF)
    dim_mask = dims < half
    cos = tl.load(cos_ptr + position * table_stride + dims, mask=dim_mask, other=0.0)
    sin = tl.load(sin_ptr + position * table_stride + dims, mask=dim_mask, other=0.0)
    cos = cos.to(tl.float32)[None, :]
    sin = sin.to(tl.float32)[None, :]

    q_heads = tl.arange(0, PADDED_Q_HEADS)
    q_first = q_ptr + token * q_token_stride + q_heads[:, None] * head_dim + dims[None, :]
    q_mask = (q_heads[:, None] < n_q_heads) & dim_mask[None, :]
    q1 = tl.load(q_first, mask=q_mask, other=0.0).to(tl.float32)
    q2 = tl.load(q_first + half, mask=q_mask, other=0.0).to(tl.float32)
    tl.store(q_first, q1 * cos - q2 * sin, mask=q_mask)
    tl.store(q_first + half, q2 * cos + q1 * sin, mask=q_mask)

    k_heads = tl.arange(0, PADDED_K_HEADS)
    k_first = k_ptr + token * k_token_stride + k_heads[:, None] * head_dim + dims[None, :]
    k_mask = (k_heads[:, None] < n_k_heads) & dim_mask[None, :]
    k1 = tl.load(k_first, mask=k_mask, other=0.0).to(tl.float32)
    k2 = tl.load(k_first + half, mask=k_mask, other=0.0).to(tl.float32)
    tl.store(k_first, k1 * cos - k2 * sin, mask=k_mask)
    tl.store(k_first + half, k2 * cos + k1 * sin, mask=k_mask)


def apply_rotary_(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotates `q` [batch, seq, heads, dim] and `k` [batch, seq, kv heads, dim] in place.

    `cos` and `sin` are [seq, dim / 2].
    """
    batch, seq_len, n_q_heads, head_dim = q.shape
    n_k_heads = k.shape[2]
    assert q.is_contiguous() and k.is_contiguous(), "q and k must be contiguous"
    _rotary_kernel[(batch * seq_len,)](
        q,
        q.stride(1),
        k,
        k.stride(1),
        cos,
        sin,
        cos.stride(0),
        seq_len,
        n_q_heads,
        n_k_heads,
        head_dim,
        PADDED_Q_HEADS=triton.next_power_of_2(n_q_heads),
        PADDED_K_HEADS=triton.next_power_of_2(n_k_heads),
        PADDED_HALF=triton.next_power_of_2(head_dim // 2),
        num_warps=4,
    )
