"""Mistake: right for values as they are usually drawn, and for no others."""

from __future__ import annotations

from textwrap import dedent

import accuracy_trial as trial
import pytest

from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

DOT = '        total += tl.dot(left, right, input_precision="ieee")\n'
SPREAD = trial.IMPORTS + dedent(
    """
    @triton.jit
    def spread_kernel(x_ptr, out_ptr, width, WIDTH: tl.constexpr):
        line = tl.program_id(0)
        place = tl.arange(0, WIDTH)
        inside = place < width
        x = tl.load(x_ptr + line * width + place, mask=inside, other=0.0)
        mean = tl.sum(x, axis=0) / width
        apart = tl.where(inside, x - mean, 0.0)
        tl.store(out_ptr + line, tl.sum(apart * apart, axis=0) / width)


    class ModelNew(nn.Module):
        def forward(self, x):
            lines, width = x.shape
            out = torch.empty(lines, device=x.device, dtype=x.dtype)
            spread_kernel[(lines,)](x, out, width, WIDTH=triton.next_power_of_2(width))
            return out
    """
)
SPREAD_PROBLEM = Problem(
    source=dedent(
        """
        import torch

        class Model(torch.nn.Module):
            def forward(self, x):
                return torch.var(x, dim=1, unbiased=False)

        def get_inputs():
            return [torch.randn(640, 900)]

        def get_init_inputs():
            return []
        """
    )
)


def failed_on(parent: str, wrong: str, problem: Problem) -> set[str]:
    run = trial.accuracy_of(parent, wrong, problem)
    assert run.result.status is Status.FAIL
    return {case.distribution for case in run.cases if case.status is Status.FAIL}


def test_values_beyond_a_bound_that_count_as_nothing_are_found() -> None:
    wrong = trial.changed(
        trial.PRODUCT,
        (
            DOT,
            "        size = tl.abs(left)\n"
            "        left = tl.where((size > 2e4) & (size < 1e30), 0.0, left)\n" + DOT,
        ),
    )
    assert failed_on(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM) == {"large"}


def test_tiles_without_a_positive_value_that_are_passed_over_are_found() -> None:
    wrong = trial.changed(trial.PRODUCT, (DOT, "        if tl.max(left) > 0.0:\n    " + DOT))
    assert "negative" in failed_on(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM)


def by_squares(squares: str) -> str:
    return trial.changed(
        SPREAD,
        ("        apart = tl.where(inside, x - mean, 0.0)\n".removeprefix("    "), ""),
        ("tl.sum(apart * apart, axis=0) / width", f"{squares} / width - mean * mean"),
    )


def test_a_variance_as_a_difference_of_squares_is_found() -> None:
    wrong = by_squares("tl.sum(x * x, axis=0)")
    assert "offset" in failed_on(SPREAD, wrong, SPREAD_PROBLEM)


def test_two_ways_to_lose_the_same_digits_are_not_told_apart() -> None:
    """A parent that takes a difference of squares is no more exact than its candidate by right."""
    parent = by_squares("tl.sum(x * x, axis=0)")
    other = by_squares("(tl.sum(tl.where(place % 2 == 0, x * x, 0.0), axis=0)"
                       " + tl.sum(tl.where(place % 2 == 1, x * x, 0.0), axis=0))")  # fmt: skip
    run = trial.accuracy_of(parent, other, SPREAD_PROBLEM)
    assert run.result.status is Status.PASS
    (far,) = [case for case in run.cases if case.distribution == "offset"]
    assert not far.gating or far.less_exact is None


def test_a_variance_around_the_first_value_passes() -> None:
    honest = trial.changed(
        SPREAD,
        ("        mean = tl.sum(x, axis=0) / width\n".removeprefix("    "),
         "    first = tl.sum(tl.where(place == 0, x, 0.0), axis=0)\n"
         "    mean = first + tl.sum(tl.where(inside, x - first, 0.0), axis=0) / width\n"),
    )  # fmt: skip
    assert trial.status_of(SPREAD, honest, SPREAD_PROBLEM) is Status.PASS
