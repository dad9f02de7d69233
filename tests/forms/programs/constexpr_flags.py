import torch
import triton
import triton.language as tl

ACCURATE = tl.constexpr(True)
SCALE = tl.constexpr(0.125)
BLOCK_SIZE = tl.constexpr(512)


@triton.jit
def tanh(x):
    if ACCURATE:
        return 2.0 * tl.sigmoid(2.0 * x) - 1.0
    return x


@triton.jit
def scaled_tanh(src, dst, count):
    at = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    x = tl.load(src + at, mask=at < count)
    tl.store(dst + at, tanh(x * SCALE), mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        scaled_tanh[(triton.cdiv(x.numel(), BLOCK_SIZE.value),)](x, out, x.numel())
        return out
