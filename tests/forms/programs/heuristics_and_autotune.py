import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({"COLS": c}, num_warps=w) for c in (128, 256) for w in (2, 4)],
    key=["cols"],
)
@triton.heuristics({"EVEN": lambda args: args["cols"] % args["COLS"] == 0})
@triton.jit
def bias_add(src, bias, dst, cols, COLS: tl.constexpr, EVEN: tl.constexpr):
    row = tl.program_id(0)
    at = tl.program_id(1) * COLS + tl.arange(0, COLS)
    if EVEN:
        x = tl.load(src + row * cols + at)
        b = tl.load(bias + at)
        tl.store(dst + row * cols + at, x + b)
    else:
        x = tl.load(src + row * cols + at, mask=at < cols)
        b = tl.load(bias + at, mask=at < cols)
        tl.store(dst + row * cols + at, x + b, mask=at < cols)


class ModelNew(torch.nn.Module):
    def forward(self, x, bias):
        out = torch.empty_like(x)
        rows, cols = x.shape
        grid = lambda meta: (rows, triton.cdiv(cols, meta["COLS"]))
        bias_add[grid](x, bias, out, cols)
        return out
