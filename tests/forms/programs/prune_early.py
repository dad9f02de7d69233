import torch
import triton
import triton.language as tl


def fits(configs, named_args, **kwargs):
    cols = named_args["cols"]
    kept = [c for c in configs if c.kwargs["WIDTH"] <= triton.next_power_of_2(cols)]
    return kept or configs[:1]


@triton.autotune(
    configs=[
        triton.Config({"WIDTH": 256}, num_warps=2),
        triton.Config({"WIDTH": 1024}, num_warps=4),
        triton.Config({"WIDTH": 4096}, num_warps=8),
    ],
    key=["cols"],
    prune_configs_by={"early_config_prune": fits},
)
@triton.jit
def row_sum(src, dst, cols, stride, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for start in range(0, cols, WIDTH):
        at = start + tl.arange(0, WIDTH)
        total += tl.load(src + row * stride + at, mask=at < cols, other=0.0)
    tl.store(dst + row, tl.sum(total, axis=0))


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty(x.shape[0], device=x.device, dtype=torch.float32)
        row_sum[(x.shape[0],)](x, out, x.shape[1], x.stride(0))
        return out
