import torch
import triton
import triton.language as tl


def clear_total(args):
    args["total"].zero_()


@triton.autotune(
    configs=[
        triton.Config({"WIDTH": 1024}, num_warps=4, pre_hook=clear_total),
        triton.Config({"WIDTH": 2048}, num_warps=4, pre_hook=clear_total),
        triton.Config({"WIDTH": 2048}, num_warps=8, pre_hook=clear_total),
    ],
    key=["count"],
)
@triton.jit
def add_up(src, total, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    part = tl.sum(tl.load(src + at, mask=at < count, other=0.0), axis=0)
    tl.atomic_add(total, part)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        total = torch.zeros(1, device=x.device, dtype=torch.float32)
        count = x.numel()
        add_up[lambda meta: (triton.cdiv(count, meta["WIDTH"]),)](x, total, count)
        return total
