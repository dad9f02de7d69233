"""Cases of matmul_int8.py:int8_matmul: a projection of many tokens, and of a few."""

import torch


def prefill():
    return {
        "a": torch.randint(-127, 128, (4096, 4096), dtype=torch.int8),
        "b": torch.randint(-127, 128, (4096, 11008), dtype=torch.int8),
        "a_scale": torch.rand(4096, dtype=torch.float32) * 0.01,
        "b_scale": torch.rand(11008, dtype=torch.float32) * 0.01,
    }


def decode():
    return {
        "a": torch.randint(-127, 128, (32, 4096), dtype=torch.int8),
        "b": torch.randint(-127, 128, (4096, 4096), dtype=torch.int8),
        "a_scale": torch.rand(32, dtype=torch.float32) * 0.01,
        "b_scale": torch.rand(4096, dtype=torch.float32) * 0.01,
        "bias": torch.randn(4096, dtype=torch.float16),
    }


CASES = {prefill: 1, decode: 4}


def reference(a, b, a_scale, b_scale, bias=None, out_dtype=torch.float16):
    c = (a.float() @ b.float()) * a_scale[:, None] * b_scale[None, :]
    if bias is not None:
        c = c + bias
    return c.to(torch.float16)
