"""Cases of paged_attention.py:paged_attention: contexts up to 4,096 tokens in pages of 16 or 32."""

import torch


def grouped_heads():
    return {
        "q": torch.randn(64, 32, 128, dtype=torch.float16),
        "k_cache": torch.randn(8192, 16, 8, 128, dtype=torch.float16),
        "v_cache": torch.randn(8192, 16, 8, 128, dtype=torch.float16),
        "block_tables": torch.randint(0, 8192, (64, 128), dtype=torch.int32),
        "context_lens": torch.randint(1, 2049, (64,), dtype=torch.int32),
    }


def all_heads():
    return {
        "q": torch.randn(16, 16, 64, dtype=torch.bfloat16),
        "k_cache": torch.randn(2048, 32, 16, 64, dtype=torch.bfloat16),
        "v_cache": torch.randn(2048, 32, 16, 64, dtype=torch.bfloat16),
        "block_tables": torch.randint(0, 2048, (16, 128), dtype=torch.int32),
        "context_lens": torch.randint(1, 4097, (16,), dtype=torch.int32),
    }


CASES = {grouped_heads: 4, all_heads: 1}


def reference(q, k_cache, v_cache, block_tables, context_lens, scale=None):
    seqs, heads, dim = q.shape
    _, page, kv_heads, _ = k_cache.shape
    if scale is None:
        scale = dim**-0.5
    tables = block_tables.long()
    length = tables.shape[1] * page
    k = k_cache[tables].reshape(seqs, length, kv_heads, dim)
    v = v_cache[tables].reshape(seqs, length, kv_heads, dim)
    k = k.repeat_interleave(heads // kv_heads, dim=2)
    v = v.repeat_interleave(heads // kv_heads, dim=2)
    scores = torch.einsum("shd,slhd->shl", q, k) * scale
    seen = torch.arange(length, device=q.device)[None, :] < context_lens[:, None]
    scores = scores.masked_fill(~seen[:, None, :], float("-inf"))
    return torch.einsum("shl,slhd->shd", torch.softmax(scores, dim=-1), v)
