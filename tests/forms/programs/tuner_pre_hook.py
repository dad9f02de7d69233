import torch
import triton
import triton.language as tl


def before(args, reset_only=False):
    args["hits"].zero_()


@triton.autotune(
    configs=[triton.Config({"WIDTH": w}, num_warps=4) for w in (512, 1024)],
    key=["count"],
    pre_hook=before,
)
@triton.jit
def count_positive(src, hits, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    positive = tl.load(src + at, mask=at < count, other=-1.0) > 0
    tl.atomic_add(hits, tl.sum(positive.to(tl.int32), axis=0))


class ModelNew(torch.nn.Module):
    def forward(self, x):
        hits = torch.zeros(1, device=x.device, dtype=torch.int32)
        grid = lambda meta: (triton.cdiv(x.numel(), meta["WIDTH"]),)
        count_positive[grid](x, hits, x.numel())
        return hits
