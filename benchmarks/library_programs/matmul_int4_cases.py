"""Cases of matmul_int4.py:int4_matmul: groups of 128 along K."""

import torch


def decode():
    return {
        "x": torch.randn(16, 4096, dtype=torch.float16),
        "qweight": torch.randint(-(2**31), 2**31 - 1, (512, 11008), dtype=torch.int32),
        "scales": torch.rand(32, 11008, dtype=torch.float16) * 0.01,
        "qzeros": torch.randint(-(2**31), 2**31 - 1, (32, 1376), dtype=torch.int32),
    }


def prefill():
    return {
        "x": torch.randn(1024, 4096, dtype=torch.float16),
        "qweight": torch.randint(-(2**31), 2**31 - 1, (512, 4096), dtype=torch.int32),
        "scales": torch.rand(32, 4096, dtype=torch.float16) * 0.01,
        "qzeros": torch.randint(-(2**31), 2**31 - 1, (32, 512), dtype=torch.int32),
    }


CASES = {decode: 10, prefill: 1}


def reference(x, qweight, scales, qzeros):
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=x.device)
    q = ((qweight[:, None, :] >> shifts[None, :, None]) & 0xF).reshape(-1, qweight.shape[1])
    zeros = ((qzeros[:, :, None] >> shifts[None, None, :]) & 0xF).reshape(qzeros.shape[0], -1)
    size = q.shape[0] // scales.shape[0]
    zeros = zeros.repeat_interleave(size, dim=0)
    weight = (q - zeros).to(x.dtype) * scales.repeat_interleave(size, dim=0)
    return x @ weight
