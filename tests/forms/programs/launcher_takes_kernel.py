import torch
import triton
import triton.language as tl


@triton.jit
def double(src, dst, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(dst + at, tl.load(src + at, mask=at < count) * 2, mask=at < count)


@triton.jit
def halve(src, dst, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(dst + at, tl.load(src + at, mask=at < count) * 0.5, mask=at < count)


def pointwise(kernel, x):
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 512),)](x, out, x.numel(), WIDTH=512)
    return out


class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        return pointwise(double, x), pointwise(halve, y)
