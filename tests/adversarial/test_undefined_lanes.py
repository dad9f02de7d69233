"""Mistake: lanes that a load masks off without `other` are used; a GPU has anything there."""

from __future__ import annotations

import accuracy_trial as trial
import pytest

from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

WITHOUT_OTHER = ("(at[None, :] < DEPTH), other=0.0,", "(at[None, :] < DEPTH),")


def test_a_sum_over_undefined_lanes_is_refused_with_the_line() -> None:
    wrong = trial.changed(trial.PRODUCT, WITHOUT_OTHER)
    run = trial.accuracy_of(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM)
    assert run.result.status is Status.FAIL
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "left = tl.load(" in text)
    told = [note for note in run.result.notes if "without `other`" in note]
    assert told and f"line {line}" in told[0]


def test_lanes_that_are_never_used_may_be_undefined() -> None:
    honest = trial.changed(
        trial.SHARES,
        ('mask=inside, other=float("-inf"))', "mask=inside)"),
        ("weights = tl.exp(values - tl.max(values, axis=0))",
         'values = tl.where(inside, values, float("-inf"))\n'
         "    weights = tl.exp(values - tl.max(values, axis=0))"),
    )  # fmt: skip
    assert trial.status_of(trial.SHARES, honest, trial.SHARES_PROBLEM) is Status.PASS


@pytest.mark.slow
def test_what_the_parent_does_is_inherited_and_told() -> None:
    parent = trial.changed(trial.PRODUCT, WITHOUT_OTHER)
    child = trial.changed(
        parent, ("deep = tl.arange(0, TILE_D)", "deep = tl.arange(0, TILE_D) + 0")
    )
    run = trial.accuracy_of(parent, child, trial.PRODUCT_PROBLEM)
    assert run.result.status is Status.PASS
    assert any("the parent's output depends on lanes" in note for note in run.result.notes)
