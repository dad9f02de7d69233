"""Mistake: something made from a parameter is kept, and the parameter changes."""

from __future__ import annotations

import accuracy_trial as trial
import pytest

from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

USED = "        return product(left, self.right)\n"
MADE = "        self.right = nn.Parameter(torch.randn(depth, columns))\n"


def failed_cases(wrong: str) -> set[str]:
    run = trial.accuracy_of(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM)
    assert run.result.status is Status.FAIL
    return {case.distribution for case in run.cases if case.status is Status.FAIL}


def test_a_copy_taken_at_construction_is_refused() -> None:
    wrong = trial.changed(
        trial.PRODUCT,
        (MADE, MADE + "        self.packed = self.right.detach().clone()\n"),
        (USED, USED.replace("self.right", "self.packed")),
    )
    assert "second call" in failed_cases(wrong)


def test_a_copy_taken_in_the_first_call_is_refused() -> None:
    wrong = trial.changed(
        trial.PRODUCT,
        (MADE, MADE + "        self.packed = None\n"),
        (USED, "        if self.packed is None:\n"
         "            self.packed = self.right.detach().clone()\n"
         + USED.replace("self.right", "self.packed")),
    )  # fmt: skip
    assert failed_cases(wrong) == {"second call"}


def test_a_copy_in_each_call_passes() -> None:
    honest = trial.changed(trial.PRODUCT, (USED, USED.replace("right)", "right.t().t().clone())")))
    assert trial.status_of(trial.PRODUCT, honest, trial.PRODUCT_PROBLEM) is Status.PASS
