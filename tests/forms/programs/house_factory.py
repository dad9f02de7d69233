import torch
import triton
import triton.language as tl


def tuned(configs, key, **options):
    """Triton's tuner, and results on disk where asked."""

    def decorate(fn):
        return triton.autotune(configs=configs, key=key, **options)(fn)

    return decorate


def sizes():
    return [triton.Config({"WIDTH": w}, num_warps=n) for w in (256, 512) for n in (1, 2)]


@tuned(
    configs=[
        triton.Config({"WIDTH": 512}, num_warps=4, num_stages=1),
        triton.Config({"WIDTH": 512}, num_warps=4, num_stages=2),
        triton.Config({"WIDTH": 1024}, num_warps=4, num_stages=1),
    ],
    key=["count"],
)
@triton.jit
def absolute(src, dst, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(dst + at, tl.abs(tl.load(src + at, mask=at < count)), mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        grid = lambda meta: (triton.cdiv(x.numel(), meta["WIDTH"]),)
        absolute[grid](x, out, x.numel())
        return out
