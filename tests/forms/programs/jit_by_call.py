import torch
import triton
import triton.language as tl


def _square(src, dst, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    inside = at < count
    value = tl.load(src + at, mask=inside)
    tl.store(dst + at, value * value, mask=inside)


square_kernel = triton.jit(_square)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        square_kernel[(triton.cdiv(x.numel(), 512),)](x, out, x.numel(), WIDTH=512)
        return out
