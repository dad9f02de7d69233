import torch
import triton
import triton.language as tl


@triton.jit
def clamp_kernel(src, dst, count, low, high, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(src + at, mask=at < count)
    tl.store(dst + at, tl.minimum(tl.maximum(x, low), high), mask=at < count)


@torch.library.custom_op("ourlib::clamp", mutates_args=())
def clamp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    out = torch.empty_like(x)
    clamp_kernel[(triton.cdiv(x.numel(), 512),)](x, out, x.numel(), low, high, WIDTH=512)
    return out


@clamp.register_fake
def _(x, low, high):
    return torch.empty_like(x)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return clamp(x, -1.0, 1.0)
