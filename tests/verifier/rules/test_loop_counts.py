"""Loops that run fewer times: refused, unless their steps read as many elements."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.types.config import Config
from warpwright.types.launch_trace import (
    ConstantArgument,
    Launch,
    ScalarArgument,
    Trace,
    TracedConfig,
)

ROWS = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def sum_kernel(x_ptr, y_ptr, rows, width, TILE: tl.constexpr):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = row < rows
    total = tl.zeros((TILE,), dtype=tl.float32)
    for i in range(width):
        total += tl.load(x_ptr + row * width + i, mask=inside, other=0.0)
    tl.store(y_ptr + row, total, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty((x.shape[0],), device=x.device)
        grid = (triton.cdiv(x.shape[0], 32),)
        sum_kernel[grid](x, y, x.shape[0], x.shape[1], TILE=32)
        return y
"""
LOOP = """    for i in range(width):
        total += tl.load(x_ptr + row * width + i, mask=inside, other=0.0)
"""


def traced(width: int) -> Trace:
    arguments: dict[str, ScalarArgument | ConstantArgument] = {
        "rows": ScalarArgument(1000, "i32"),
        "width": ScalarArgument(width, "i32"),
        "TILE": ConstantArgument(32, "32"),
    }
    config = TracedConfig(Config(()), (32, 1, 1))
    return Trace((Launch("sum_kernel", 0, arguments, (config,), False),))


def refused(lab: ModuleType, loop: str, width: int = 512) -> bool:
    trace = traced(width)
    child = lab.replaced(ROWS, LOOP, loop)
    reasons = lab.refusals(ROWS, child, parent_trace=trace, child_trace=trace)
    return any("loop bound changed" in reason for reason in reasons)


def blocks(step: int, lanes: int, stop: str = "width") -> str:
    return (
        f"    for first in range(0, {stop}, {step}):\n"
        f"        i = first + tl.arange(0, {lanes})\n"
        f"        part = tl.load(x_ptr + row[:, None] * width + i[None, :],\n"
        f"                       mask=inside[:, None] & (i < width)[None, :], other=0.0)\n"
        f"        total += tl.sum(part, 1)\n"
    )


@pytest.mark.parametrize("width", [512, 500])
def test_fewer_steps_of_as_many_lanes_more_are_left_to_the_outputs(
    lab: ModuleType, width: int
) -> None:
    assert not refused(lab, blocks(16, 16), width)


@pytest.mark.parametrize(
    "loop",
    [
        blocks(16, 8),
        blocks(32, 16),
        blocks(16, 16, "width // 2"),
        LOOP.replace("range(width)", "range(0, width, 2)"),
        LOOP.replace("range(width)", "range(width - 1)"),
        LOOP.replace("range(width)", "range(0, width, 32)"),
    ],
)
def test_fewer_steps_that_read_less_are_refused(lab: ModuleType, loop: str) -> None:
    assert refused(lab, loop)


def test_lanes_of_another_tensor_make_up_for_nothing(lab: ModuleType) -> None:
    loop = LOOP.replace("range(width)", "range(0, width, 16)")
    loop += "        tl.load(y_ptr + tl.arange(0, 64))\n"
    assert refused(lab, loop)
