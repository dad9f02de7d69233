import inspect

import torch
import triton
import triton.language as tl

TAKES_CACHE = "cache_results" in inspect.signature(triton.autotune).parameters
EXTRA = {"cache_results": True} if TAKES_CACHE else {}


class Contiguous:
    """Launches a kernel on contiguous copies of its tensors."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launch(*args, **kwargs):
            args = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in args]
            return self.kernel[grid](*args, **kwargs)

        return launch


@Contiguous
@triton.heuristics({"HAS_BIAS": lambda args: args["bias"] is not None})
@triton.autotune(
    configs=[triton.Config({"WIDTH": 512}, num_warps=w) for w in (2, 4, 8)],
    key=["cols"],
    **EXTRA,
)
@triton.jit(do_not_specialize=["rows"])
def shift(src, bias, dst, rows, cols, WIDTH: tl.constexpr, HAS_BIAS: tl.constexpr):
    row = tl.program_id(0)
    at = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(src + row * cols + at, mask=at < cols)
    if HAS_BIAS:
        x += tl.load(bias + at, mask=at < cols)
    tl.store(dst + row * cols + at, x, mask=at < cols)


class ModelNew(torch.nn.Module):
    def forward(self, x, bias):
        out = torch.empty_like(x)
        rows, cols = x.shape
        shift[lambda meta: (rows, triton.cdiv(cols, meta["WIDTH"]))](x, bias, out, rows, cols)
        return out
