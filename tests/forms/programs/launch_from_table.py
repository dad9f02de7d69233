import torch
import triton
import triton.language as tl

SETTINGS = {
    # columns: options
    1024: {"ROWS": 4, "num_warps": 2},
    4096: {"ROWS": 2, "num_warps": 4},
    16384: {"ROWS": 1, "num_warps": 8},
}


def pick(cols):
    for limit in sorted(SETTINGS):
        if cols <= limit:
            return SETTINGS[limit]
    return SETTINGS[16384]


@triton.jit
def subtract_mean(src, dst, rows, cols, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, WIDTH)
    inside = (r[:, None] < rows) & (c[None, :] < cols)
    x = tl.load(src + r[:, None] * cols + c[None, :], mask=inside, other=0.0)
    mean = tl.sum(x, axis=1) / cols
    tl.store(dst + r[:, None] * cols + c[None, :], x - mean[:, None], mask=inside)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rows, cols = x.shape
        config = pick(cols)
        grid = (triton.cdiv(rows, config["ROWS"]),)
        subtract_mean[grid](x, out, rows, cols, WIDTH=triton.next_power_of_2(cols), **config)
        return out
