"""Trick: zeros, a constant or the input instead of a result."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright import api
from warpwright.tracing.trace import trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.verifier.checks.launched_memory import returns_launched_memory, returns_memory_of


def traced(source: str) -> Trace:
    problem = Problem(inputs=(TensorSpec((33, 40)),))
    found = trace_program(source, problem, gpu=api.target_gpu("RTX 4090").sheet)
    assert isinstance(found, Trace), found
    return found


@pytest.mark.parametrize(
    "value",
    ["torch.zeros_like(x)", "torch.full((4, 4), 0.5)", "x", "torch.empty(x.shape[0], 4)"],
)
def test_a_hollow_result_is_refused(lab: ModuleType, value: str) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", f"return {value}")
    rules = lab.rule_ids(lab.judged(lab.MATMUL, child).violations)
    assert "integrity.hollow_return" in rules


def test_a_buffer_that_no_kernel_gets_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "    return y\n", "    z = torch.zeros_like(x)\n    return z\n")
    assert "integrity.hollow_return" in lab.rule_ids(lab.judged(lab.SCALE, child).violations)


def test_a_buffer_that_is_zeroed_and_then_written_passes(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "torch.empty_like(x)", "torch.zeros_like(x)")
    assert lab.refusals(lab.SCALE, child) == []


def test_an_early_return_for_no_elements_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.SCALE, "    n = x.numel()\n", "    n = x.numel()\n    if n == 0:\n        return y\n"
    )
    assert lab.refusals(lab.SCALE, child) == []


@pytest.mark.triton
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return y\n", "    z = y\n    z = torch.zeros_like(x)\n    return z\n"),
        ("    return y\n", "    return torch.zeros_like(x)\n"),
        ("    return y\n", "    return x\n"),
    ],
)
def test_a_trace_excuses_no_memory_that_no_kernel_was_given(
    lab: ModuleType, old: str, new: str
) -> None:
    """Reading alone is in doubt about names; what was launched is seen."""
    child = lab.replaced(lab.SCALE, old, new)
    assert not returns_launched_memory(traced(child))
    assert returns_launched_memory(traced(lab.SCALE))


@pytest.mark.triton
def test_a_result_thrown_away_is_none_that_is_returned(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "    return y\n", "    return torch.zeros_like(x)\n")
    kernel = traced(child).kernels[0]
    assert not returns_memory_of(kernel, traced(child))
    assert returns_memory_of(kernel, traced(lab.SCALE))
