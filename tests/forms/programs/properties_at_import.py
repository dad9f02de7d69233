import functools

import torch
import triton
import triton.language as tl


@functools.lru_cache(maxsize=None)
def card():
    return triton.runtime.driver.active.utils.get_device_properties(
        triton.runtime.driver.active.get_current_device()
    )


MAX_SHARED = card()["max_shared_mem"]
CORES = card()["multiprocessor_count"]
CAPABILITY = torch.cuda.get_device_capability()
IS_CUDA = triton.runtime.driver.active.get_current_target().backend == "cuda"


@triton.autotune(
    configs=[
        triton.Config({"WIDTH": 4096 if MAX_SHARED > 100_000 else 2048}, num_warps=8),
        triton.Config({"WIDTH": 1024}, num_warps=4),
    ],
    key=["cols"],
)
@triton.jit
def softmax_rows(src, dst, cols, stride, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, cols, WIDTH):
        at = start + tl.arange(0, WIDTH)
        x = tl.load(src + row * stride + at, mask=at < cols, other=-float("inf"))
        new = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(x - new), axis=0)
        top = new
    for start in range(0, cols, WIDTH):
        at = start + tl.arange(0, WIDTH)
        x = tl.load(src + row * stride + at, mask=at < cols, other=-float("inf"))
        tl.store(dst + row * stride + at, tl.exp(x - top) / total, mask=at < cols)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        softmax_rows[(x.shape[0],)](x, out, x.shape[1], x.stride(0))
        return out
