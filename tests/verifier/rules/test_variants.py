"""Kernels as launches run them: what decides a branch in one decides it in the other."""

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


def with_bias(lab: ModuleType) -> str:
    """SCALE with a bias that is added where a run-time number says so."""
    text = lab.replaced(lab.SCALE, "n, factor, BLOCK: ", "n, factor, b_ptr, has_bias, BLOCK: ")
    text = lab.replaced(text, "(x, y, n, factor, B", "(x, y, n, factor, x, int(factor > 3), B")
    store = "    tl.store(y_ptr"
    added = "    if has_bias:\n        x += tl.load(b_ptr + offsets, mask=mask)\n"
    return str(lab.replaced(text, store, added + store))


def traced(has_bias: int, constant: bool) -> Trace:
    config = TracedConfig(Config((), num_warps=4), (1, 1, 1))
    flag = ConstantArgument(has_bias, "") if constant else ScalarArgument(has_bias, "i32")
    arguments = {"BLOCK": ConstantArgument(1024, "1024"), "has_bias": flag}
    return Trace((Launch("scale_kernel", 0, arguments, (config,), False),))


def refusals(lab: ModuleType, child: str, has_bias: int) -> list[str]:
    traces = {"parent_trace": traced(has_bias, False), "child_trace": traced(has_bias, True)}
    found: list[str] = lab.refusals(with_bias(lab), child, **traces)
    return found


@pytest.mark.parametrize("has_bias", [0, 1])
def test_a_number_that_is_now_known_leaves_out_what_did_not_run(
    lab: ModuleType, has_bias: int
) -> None:
    child = lab.replaced(with_bias(lab), "has_bias, BLOCK", "has_bias: tl.constexpr, BLOCK")
    assert refusals(lab, child, has_bias) == []


def test_a_branch_that_ran_may_not_be_left_out(lab: ModuleType) -> None:
    child = lab.replaced(with_bias(lab), "has_bias, BLOCK", "has_bias: tl.constexpr, BLOCK")
    child = lab.replaced(child, "if has_bias:", "if has_bias > 1:")
    reasons = refusals(lab, child, 1)
    assert any("tl.load of b_ptr removed" in reason for reason in reasons)
