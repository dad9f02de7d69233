import torch
import triton
import triton.language as tl


def cost(count, WIDTH, num_warps, **_):
    blocks = (count + WIDTH - 1) // WIDTH
    return blocks / 1000 + abs(WIDTH - 256 * num_warps) / 64


@triton.autotune(
    configs=[triton.Config({"WIDTH": w}, num_warps=n) for w in (256, 512, 1024) for n in (2, 4)],
    key=["count"],
    prune_configs_by={"perf_model": cost, "top_k": 3},
    cache_results=True,
)
@triton.jit
def leaky(src, dst, count, slope, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(src + at, mask=at < count)
    tl.store(dst + at, tl.where(x > 0, x, x * slope), mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        count = x.numel()
        leaky[lambda meta: (triton.cdiv(count, meta["WIDTH"]),)](x, out, count, 0.1)
        return out
