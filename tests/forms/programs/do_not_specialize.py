import torch
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["count", "seed"])
def keep_some(src, dst, count, seed, share, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    inside = at < count
    x = tl.load(src + at, mask=inside, other=0.0)
    keep = (at * 7 + seed) % 10 < share
    tl.store(dst + at, tl.where(keep, x, 0.0), mask=inside)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        keep_some[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), 3, 8, WIDTH=1024, num_warps=4)
        return out
