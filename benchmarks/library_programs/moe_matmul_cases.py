"""Cases of moe_matmul.py:moe_matmul: eight experts, two a token."""

import torch


def prefill():
    return {
        "a": torch.randn(2048, 4096, dtype=torch.bfloat16),
        "b": torch.randn(8, 7168, 4096, dtype=torch.bfloat16) * 0.02,
        "topk_weights": torch.rand(2048, 2, dtype=torch.float32),
        "topk_ids": torch.randint(0, 8, (2048, 2), dtype=torch.int32),
    }


def many_experts():
    return {
        "a": torch.randn(32, 2048, dtype=torch.float16),
        "b": torch.randn(64, 1408, 2048, dtype=torch.float16) * 0.02,
        "topk_weights": torch.rand(32, 6, dtype=torch.float32),
        "topk_ids": torch.randint(0, 64, (32, 6), dtype=torch.int32),
    }


CASES = {prefill: 1, many_experts: 3}


def reference(a, b, topk_weights, topk_ids, mul_routed_weight=True):
    tokens, top_k = topk_ids.shape
    out = torch.zeros(tokens, top_k, b.shape[1], dtype=a.dtype, device=a.device)
    for expert in range(b.shape[0]):
        product = a @ b[expert].t()
        chosen = (topk_ids == expert)[:, :, None]
        out = torch.where(chosen, product[:, None, :], out)
    if mul_routed_weight:
        out = (out * topk_weights[:, :, None]).to(a.dtype)
    return out
