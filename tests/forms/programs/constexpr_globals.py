import torch
import triton
import triton.language as tl

LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)
WIDTH = tl.constexpr(1024)


@triton.jit
def to_power(src, dst, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(src + at, mask=at < count)
    tl.store(dst + at, tl.exp2(x * LOG2E), mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        to_power[(triton.cdiv(x.numel(), WIDTH.value),)](x, out, x.numel(), BLOCK=WIDTH)
        return out
