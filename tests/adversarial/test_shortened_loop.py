"""Trick: the reduction stops early."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    "loop",
    ["range(0, K // 2, BLOCK_K)", "range(0, K - BLOCK_K, BLOCK_K)", "range(BLOCK_K, K, BLOCK_K)"],
)
def test_a_loop_that_runs_less_often_is_refused_with_the_reason(lab: ModuleType, loop: str) -> None:
    child = lab.replaced(lab.MATMUL, "range(0, K, BLOCK_K)", loop)
    reasons = lab.refusals(lab.MATMUL, child)
    assert any("loop bound changed" in reason for reason in reasons)


def test_a_smaller_size_passed_at_the_launch_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "(x, w, y, M, N, K,", "(x, w, y, M, N, K - 32,")
    reasons = lab.refusals(lab.MATMUL, child)
    assert any("loop bound or mask changed" in reason for reason in reasons)


def test_a_size_made_smaller_inside_the_kernel_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "    total = tl.zeros", "    K = K // 2\n    total = tl.zeros")
    reasons = lab.refusals(lab.MATMUL, child)
    assert any("loop bound changed" in reason for reason in reasons)


@pytest.mark.parametrize("loop", ["tl.range(0, K, BLOCK_K)", "range(0, K, step=BLOCK_K)"])
def test_the_same_loop_in_other_words_passes(lab: ModuleType, loop: str) -> None:
    if "step" in loop:
        loop = "tl.static_range(0, K, BLOCK_K)"
    child = lab.replaced(lab.MATMUL, "range(0, K, BLOCK_K)", loop)
    assert lab.refusals(lab.MATMUL, child) == []


def test_the_same_loop_as_a_while_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "    for start in range(0, K, BLOCK_K):", "    start = 0\n    while start < K:"
    )
    child = lab.replaced(
        child,
        "        total += tl.dot(x, w)",
        "        total += tl.dot(x, w)\n        start += BLOCK_K",
    )
    assert lab.refusals(lab.MATMUL, child) == []
