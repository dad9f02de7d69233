"""What the other cases say of an answer that was made for one of them."""

from __future__ import annotations

import pytest

from warpwright.pipeline.other_cases import why_not_for_all
from warpwright.types.input_cases import CaseJudged, InputCase
from warpwright.types.measurement import Comparison, Outcome
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

OWN = InputCase("own", 1.0, Problem())


def compared(parent_us: float, candidate_us: float) -> Comparison:
    gain = 100 * (parent_us / candidate_us - 1)
    return Comparison(
        Outcome.ACCEPT,
        gain,
        (gain - 1, gain + 1),
        0.99,
        0.1,
        0.0,
        1,
        16,
        "",
        parent_us,
        candidate_us,
    )


def judged(weight: float, status: Status, comparison: Comparison | None = None) -> CaseJudged:
    return CaseJudged("other", weight, status, "why", comparison)


def test_one_case_that_fails_refuses_it() -> None:
    found = why_not_for_all(OWN, compared(10, 5), [judged(1, Status.FAIL)])
    assert found == "it fails on case other: why"


@pytest.mark.parametrize(
    ("weight", "kept"), [(1.0, False), (4.9, False), (5.1, True), (50.0, True)]
)
def test_weights_decide_over_all(weight: float, kept: bool) -> None:
    # 10 → 5 on its own case, 1 → 2 on the other
    found = why_not_for_all(OWN, compared(10, 5), [judged(weight, Status.PASS, compared(1, 2))])
    assert (found is not None) is kept
    assert found is None or "over all cases" in found


def test_what_was_not_timed_decides_nothing() -> None:
    assert why_not_for_all(OWN, None, [judged(1, Status.PASS)]) is None
    assert why_not_for_all(OWN, compared(10, 5), [judged(9, Status.PASS)]) is None
    assert why_not_for_all(OWN, compared(10, 5), [judged(9, Status.NOT_VERIFIED)]) is None
