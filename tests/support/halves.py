"""Every other column, doubled: the least program that a whole answer makes faster without a GPU.

Its sizes are no constants, so that a division costs more than all else; two of its configs are
one binary. Tests that ask for an answer share it: the session's cache then holds nearly all that
the next one needs. A cold answer takes some seconds of processor time, one from the cache one.
"""

KERNEL = "halve_kernel"
PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x[:, ::2] * 2.0


def get_inputs():
    return [torch.rand(96, 150)]


def get_init_inputs():
    return []
"""
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 256}, num_warps=4, num_stages=2),
        triton.Config({"BLOCK": 512}, num_warps=4, num_stages=2),
        # without a loop, stages do nothing: the same binary
        triton.Config({"BLOCK": 512}, num_warps=4, num_stages=4),
    ],
    key=["count"],
)
@triton.jit
def halve_kernel(x_ptr, y_ptr, count, half, columns, step, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    row = at // half
    column = at % half
    value = tl.load(x_ptr + row * columns + column * step, mask=inside, other=0.0)
    tl.store(y_ptr + at, value * 2.0, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, columns = x.shape
        half = (columns + 1) // 2
        y = torch.empty((rows, half), device=x.device, dtype=x.dtype)

        def grid(meta):
            return (triton.cdiv(rows * half, meta["BLOCK"]),)

        halve_kernel[grid](x, y, rows * half, half, columns, 2)
        return y
"""
