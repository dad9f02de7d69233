"""Trick: the matrix product is gone; the loop only loads."""

from __future__ import annotations

from types import ModuleType


def test_a_program_without_its_dot_is_refused_with_the_reason(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "total += tl.dot(x, w)", "total += 0.0")
    reasons = lab.refusals(lab.MATMUL, child)
    assert any("tl.dot removed" in reason for reason in reasons)


def test_a_dot_with_its_accumulator_inside_is_the_same_work(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "total += tl.dot(x, w)", "total = tl.dot(x, w, acc=total)")
    assert lab.refusals(lab.MATMUL, child) == []
