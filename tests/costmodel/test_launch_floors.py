"""The floor of a launch is what it does once, however its configs are listed."""

from __future__ import annotations

import pytest

from warpwright.analysis.study_program import Subject, study_program
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.gpu import StatedGpu
from warpwright.types.shapes import Problem, TensorSpec

pytestmark = pytest.mark.triton

PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune([triton.Config({"BLOCK": 1024}), triton.Config({"BLOCK": 1024})], key=["n"])
@triton.jit
def double(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, 2.0 * tl.load(x_ptr + at, mask=at < n), mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        n = x.numel()
        double[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n)
        return y
"""


def test_a_config_that_stands_twice_in_its_list_is_counted_once() -> None:
    problem = Problem(inputs=(TensorSpec((1 << 20,)),), origin="the test")
    gpu = resolve_gpu(StatedGpu(find_gpu("4090").name))
    (kernel,) = study_program(
        Subject(PROGRAM), gpu, RunContext(ResultCache()), problem=problem
    ).kernels
    (config,) = kernel.configs
    (floor,) = config.floors
    assert floor.work.read_bytes == floor.work.written_bytes == 4 << 20
    assert "wasted-lanes" not in {cause.id for cause in kernel.causes}
