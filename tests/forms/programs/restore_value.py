import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"WIDTH": 512}, num_warps=4),
        triton.Config({"WIDTH": 1024}, num_warps=4),
    ],
    key=["count"],
    restore_value=["buffer"],
)
@triton.jit
def scale_in_place(buffer, factor, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(buffer + at, mask=at < count)
    tl.store(buffer + at, x * factor, mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = x.clone()
        grid = lambda meta: (triton.cdiv(y.numel(), meta["WIDTH"]),)
        scale_in_place[grid](y, 0.5, y.numel())
        return y
