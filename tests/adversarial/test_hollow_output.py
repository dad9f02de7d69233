"""Trick: zeros, a constant or the input instead of a result."""

from __future__ import annotations

from types import ModuleType

import pytest


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
