"""Kernels are lowered to TTIR in a child, and their work agrees with what they are known to do."""

from __future__ import annotations

import pytest

from warpwright.compiler.lower import LowerRequest, lower_kernels
from warpwright.compiler.specialize import specialization
from warpwright.compiler.ttir import read_function
from warpwright.costmodel.launch_work import launch_work
from warpwright.gpus.sheets import find_gpu
from warpwright.tracing.trace import trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem
from warpwright.types.work import LaunchWork

pytestmark = [pytest.mark.triton, pytest.mark.versions]

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return a @ b


def get_inputs():
    return [torch.rand(128, 96), torch.rand(96, 64)]


def get_init_inputs():
    return []
"""
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def part(a_ptr, b_ptr, rows, columns, depth, k, n):
    left = tl.load(a_ptr + rows[:, None] * k + depth[None, :])
    right = tl.load(b_ptr + depth[:, None] * n + columns[None, :])
    return tl.dot(left, right)


@triton.jit
def product(a_ptr, b_ptr, c_ptr, idle_ptr, k, n, T: tl.constexpr):
    if tl.program_id(0) >= 4:
        return
    rows = tl.program_id(0) * T + tl.arange(0, T)
    columns = tl.program_id(1) * T + tl.arange(0, T)
    total = tl.zeros((T, T), dtype=tl.float32)
    for start in range(0, tl.cdiv(k, T)):
        total += part(a_ptr, b_ptr, rows, columns, start * T + tl.arange(0, T), k, n)
    tl.store(c_ptr + rows[:, None] * n + columns[None, :], total)


class ModelNew(nn.Module):
    def forward(self, a, b):
        c = torch.empty(a.shape[0], b.shape[1], device=a.device)
        product[(4, 2)](a, b, c, torch.empty_like(c), a.shape[1], b.shape[1], T=32)
        return c
"""


def traced_work(program: str) -> LaunchWork:
    sheet = find_gpu("RTX 4090")
    trace = trace_program(program, Problem(source=PROBLEM, origin="problem"), gpu=sheet)
    assert isinstance(trace, Trace)
    (launch,) = trace.launches
    (traced,) = launch.configs
    (lowered,) = lower_kernels(
        program,
        [LowerRequest(specialization(launch), traced.config)],
        compute_capability=sheet.compute_capability,
    )
    assert lowered.text is not None, lowered.reason
    function = read_function(lowered.text)
    return launch_work(function, lowered.names, launch, traced, sheet.compute_capability)


def test_helpers_loops_and_early_returns_are_counted_as_they_run() -> None:
    found = traced_work(PROGRAM)
    assert found.lacks == ()
    assert found.operations is not None
    assert found.operations["tf32"] == 2 * 128 * 96 * 64
    assert (found.read, found.written) == (("a_ptr", "b_ptr"), ("c_ptr",))
    assert (found.read_bytes, found.written_bytes) == (4 * 96 * (128 + 64), 4 * 128 * 64)


def test_an_unrolled_loop_is_counted_too_and_is_no_loop() -> None:
    unrolled = PROGRAM.replace("range(0, tl.cdiv(k, T))", "tl.static_range(3)")
    found = traced_work(unrolled)
    assert found.operations is not None
    assert found.operations["tf32"] == 2 * 128 * 96 * 64
    assert found.loops == 0


def test_a_kernel_that_cannot_be_lowered_says_why() -> None:
    broken = PROGRAM.replace("tl.dot(left, right)", "tl.dot(left, no_such_name)")
    trace = trace_program(broken, Problem(source=PROBLEM, origin="problem"), gpu=find_gpu("4090"))
    assert isinstance(trace, Trace)
    request = LowerRequest(specialization(trace.launches[0]), trace.launches[0].configs[0].config)
    (lowered,) = lower_kernels(broken, [request], compute_capability=(8, 9))
    assert lowered.text is None
    assert "no_such_name" in str(lowered.reason)
