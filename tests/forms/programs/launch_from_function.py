import torch
import triton
import triton.language as tl


@triton.jit
def row_max(src, dst, cols, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, WIDTH)
    x = tl.load(src + row * cols + at, mask=at < cols, other=-float("inf"))
    tl.store(dst + row, tl.max(x, axis=0))


def settings(cols):
    width = triton.next_power_of_2(cols)
    warps = 4
    if width >= 8192:
        warps = 16
    elif width >= 2048:
        warps = 8
    return {"WIDTH": width, "num_warps": warps}


class ModelNew(torch.nn.Module):
    def forward(self, x):
        rows, cols = x.shape
        out = torch.empty(rows, device=x.device, dtype=x.dtype)
        row_max[(rows,)](x, out, cols, **settings(cols))
        return out
