"""A matrix product in half precision: a problem, and a program with one config.

`STAGES` is a place for a number: with 1, every step of the loop waits for its loads.
"""

KERNEL = "product_kernel"
PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(2048, 2048).half(), torch.rand(2048, 2048).half()]


def get_init_inputs():
    return []
"""
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"ROWS": 128, "COLUMNS": 128, "DEPTH": 32}, num_warps=8, num_stages=STAGES)
    ],
    key=["m", "n", "k"],
)
@triton.jit
def product_kernel(
    a_ptr, b_ptr, c_ptr, m, n, k,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, k, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        left = tl.load(a_ptr + rows[:, None] * k + depth[None, :],
                       mask=(rows[:, None] < m) & (depth[None, :] < k), other=0.0)
        right = tl.load(b_ptr + depth[:, None] * n + columns[None, :],
                        mask=(depth[:, None] < k) & (columns[None, :] < n), other=0.0)
        total += tl.dot(left, right)
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c_ptr + rows[:, None] * n + columns[None, :], total.to(tl.float16), mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, b):
        m, k = a.shape
        n = b.shape[1]
        c = torch.empty((m, n), device=a.device, dtype=a.dtype)

        def grid(meta):
            return (triton.cdiv(m, meta["ROWS"]), triton.cdiv(n, meta["COLUMNS"]))

        product_kernel[grid](a, b, c, m, n, k)
        return c
"""
