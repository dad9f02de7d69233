"""A tile size that host code computes, beside one that is written as a number."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent
from types import ModuleType

from texts import replace_each, replace_once

from warpwright.types.launch_trace import ConstantArgument, Launch, Trace
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules

PARENT = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def halve_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        at = tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + at, mask=at < n, other=0.0)
        tl.store(y_ptr + row * n + at, x * 0.5, mask=at < n)


    def halve(x):
        rows, n = x.shape
        y = torch.empty_like(x)
        block = triton.next_power_of_2(n)
        halve_kernel[(rows,)](x, y, n, BLOCK=block)
        return y


    class ModelNew(nn.Module):
        def forward(self, x):
            return halve(x)
    """
)


def tuned(block: int) -> str:
    """The candidate: a list of configs that writes the block down."""
    configs = ", ".join(
        f'triton.Config({{"BLOCK": {block}}}, num_warps=4, num_stages={stages})'
        for stages in (2, 3, 4)
    )
    child = replace_once(
        PARENT, "@triton.jit", f'@triton.autotune([{configs}], key=["n"])\n@triton.jit'
    )
    child = replace_once(child, "    block = triton.next_power_of_2(n)\n", "")
    return replace_once(child, ", BLOCK=block)", ")")


def traced(*blocks: int) -> Trace:
    launches = (
        Launch("halve_kernel", order, {"BLOCK": ConstantArgument(b, str(b))}, (), False)
        for order, b in enumerate(blocks)
    )
    return Trace(tuple(launches))


def judged(lab: ModuleType, child: str, trace: Trace | None) -> CheckResult:
    context = lab.context_of(PARENT, child, lab.tuning_stage())
    return check_rules(replace(context, parent_trace=trace))


def test_the_number_that_the_trace_found_is_the_same_tile(lab: ModuleType) -> None:
    assert judged(lab, tuned(2048), traced(2048)).status is Status.PASS


def test_another_number_is_another_tile(lab: ModuleType) -> None:
    result = judged(lab, tuned(1024), traced(2048))
    assert {v.rule for v in result.violations} >= {"block_sizes.frozen", "configs.nearby"}


def test_without_a_trace_or_with_several_values_it_is_not_verified(lab: ModuleType) -> None:
    for trace in (None, traced(1024, 2048)):
        result = judged(lab, tuned(2048), trace)
        assert result.status is Status.NOT_VERIFIED
        assert not result.violations


def test_another_formula_is_a_change_whatever_it_gives_here(lab: ModuleType) -> None:
    child = replace_each(tuned(2048), '{"BLOCK": 2048}', "{}", times=3)
    child = replace_once(child, "x, y, n)", "x, y, n, BLOCK=2 * triton.next_power_of_2(n // 2))")
    result = judged(lab, child, traced(2048))
    assert result.status is Status.FAIL
