"""Verdicts from numbers: the same policy as from arrays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.types.accuracy_numbers import (
    CaseSpec,
    CheckNumbers,
    NonfiniteMismatch,
    OutputNumbers,
    ReferenceNumbers,
    ReferenceOutput,
)
from warpwright.types.verdict import AccuracyCase, ErrorMeasure, Status
from warpwright.verifier.outputs.compare_outputs import NO_REFERENCE
from warpwright.verifier.outputs.measured import degenerate_numbers, judge_measured

EAGER = ErrorMeasure(3e-4, 4e-4)
OUTPUT = ReferenceOutput("output", "float32", (8, 4), EAGER, 1.0, 32, 2.0, False)
REFERENCE = ReferenceNumbers(CaseSpec("problem", 1), outputs=(OUTPUT,), summands=64)


def ran(l2: float, largest: float | None = None, **fields: object) -> CheckNumbers:
    error = ErrorMeasure(l2, l2 if largest is None else largest)
    output = OutputNumbers("output", "float32", (8, 4), error)
    numbers = CheckNumbers("problem", "as launched", "ok", outputs=(output,), launches={"k": 1})
    return replace(numbers, **fields)


def judged(
    run: CheckNumbers,
    parent: CheckNumbers | None = None,
    reference: ReferenceNumbers = REFERENCE,
) -> AccuracyCase:
    parents = [] if parent is None else [parent]
    return judge_measured([run], parents, [reference], required_kernels=["k"])[0]


@pytest.mark.parametrize(
    ("l2", "status"), [(3e-4, Status.PASS), (4.4e-4, Status.PASS), (7e-4, Status.FAIL)]
)
def test_the_bound_is_the_policys(l2: float, status: Status) -> None:
    assert judged(ran(l2)).status is status


def test_a_parent_as_imprecise_excuses_and_the_case_says_so() -> None:
    case = judged(ran(7e-4), ran(7e-4))
    assert case.status is Status.PASS
    assert "the parent breaks the precision policy" in case.notes[0]


def test_nan_keeps_no_bound() -> None:
    assert judged(ran(float("nan"))).status is Status.FAIL


def test_misplaced_nan_fails_with_its_place() -> None:
    run = ran(1e-4)
    wrong = replace(run.outputs[0], nonfinite=NonfiniteMismatch(2, 32, (1, 3)))  # type: ignore[index]
    case = judged(replace(run, outputs=(wrong,)))
    assert case.status is Status.FAIL
    assert "first at (1, 3)" in str(case.reason)


def test_another_form_fails() -> None:
    other = OutputNumbers("output", "float16", (8, 4))
    case = judged(ran(0.0, outputs=(other,)))
    assert case.reason == "output is float16 instead of float32"


def test_a_kernel_that_was_not_launched_is_not_verified() -> None:
    assert judged(ran(1e-4, launches={})).status is Status.NOT_VERIFIED


def test_a_lost_worker_is_not_held_against_the_program() -> None:
    lost = CheckNumbers("problem", "as launched", "lost", reason="killed")
    assert judged(lost).status is Status.NOT_VERIFIED
    failed = CheckNumbers("problem", "as launched", "failed", reason="raised")
    assert judged(failed).status is Status.FAIL
    assert not judged(failed, failed_parent()).gating


def failed_parent() -> CheckNumbers:
    return CheckNumbers("problem", "as launched", "failed", reason="raised too")


def test_without_a_reference_the_distance_from_the_parent_counts() -> None:
    bare = ReferenceNumbers(CaseSpec("problem", 1))
    near = judged(ran(0.0, apart=ErrorMeasure(1e-3, 1e-3)), None, bare)
    assert near.status is Status.NOT_VERIFIED
    assert NO_REFERENCE in str(near.reason)
    far = judged(ran(0.0, apart=ErrorMeasure(0.1, 0.1)), None, bare)
    assert far.status is Status.FAIL


@pytest.mark.parametrize("kind", ["wide", "outliers"])
def test_where_terms_cancel_more_distance_is_allowed(kind: str) -> None:
    bare = ReferenceNumbers(CaseSpec(kind, 1))

    def apart(distance: float) -> Status:
        run = replace(ran(0.0, apart=ErrorMeasure(distance, distance)), case=kind)
        return judged(run, None, bare).status

    assert apart(0.02) is Status.NOT_VERIFIED
    assert apart(0.1) is Status.FAIL


def test_nan_apart_from_a_parent_fails_unless_the_parent_may_be_the_one_that_is_wrong() -> None:
    wrong = NonfiniteMismatch(2, 32, (1, 3))
    run = ran(0.0, apart=ErrorMeasure(0.0, 0.0), apart_nonfinite=wrong)
    bare = ReferenceNumbers(CaseSpec("problem", 1))
    assert judged(run, None, bare).status is Status.FAIL
    hopeless = judged(replace(run, parent_finite=False), None, bare)
    assert hopeless.status is Status.NOT_VERIFIED
    assert "nothing but NaN" in str(hopeless.reason)
    loses = replace(run, case="nonfinite")
    assert not judged(loses, None, ReferenceNumbers(CaseSpec("nonfinite", 1))).gating


def test_outputs_of_another_form_than_the_parents_fail() -> None:
    case = judged(
        ran(0.0, bit_equal_to_parent=False), None, ReferenceNumbers(CaseSpec("problem", 1))
    )
    assert case.status is Status.FAIL
    assert "another form" in str(case.reason)


def test_degenerate_references_decide_nothing() -> None:
    zero = replace(REFERENCE, outputs=(replace(OUTPUT, largest=0.0),))
    assert degenerate_numbers([zero]) == {"problem": "the reference is zero everywhere"}
    assert not judged(ran(0.0), None, zero).gating
    drowned = replace(OUTPUT, policy_error=ErrorMeasure(0.3, 0.3))
    assert degenerate_numbers([replace(REFERENCE, outputs=(drowned, OUTPUT))]) == {}


CONSTANT = replace(REFERENCE, outputs=(replace(OUTPUT, constant=True),))


def test_what_no_reference_can_show_right_can_still_be_shown_wrong() -> None:
    """Far from a constant that the parent gives, or NaN that only the candidate has."""
    right = ran(1e-7)
    far = judged(ran(6.0), right, CONSTANT)
    assert far.status is Status.FAIL and far.gating
    unwritten = replace(
        right.outputs[0],  # type: ignore[index]
        error=ErrorMeasure(float("nan"), float("nan")),
        nonfinite=NonfiniteMismatch(16, 32, (0, 1)),
    )
    assert judged(replace(right, outputs=(unwritten,)), right, CONSTANT).status is Status.FAIL
    other = OutputNumbers("output", "float32", (8,))
    assert judged(replace(right, outputs=(other,)), right, CONSTANT).status is Status.FAIL


def test_nothing_is_shown_wrong_where_the_parent_is_off_too_or_zero_leaves_no_scale() -> None:
    open_cases = [
        judged(ran(6.0), ran(6.0), CONSTANT),
        judged(ran(1e-3), ran(1e-7), CONSTANT),
        judged(ran(float("inf")), ran(0.0), CONSTANT),
    ]
    assert {case.status for case in open_cases} == {Status.NOT_VERIFIED}
    assert {case.reason for case in open_cases} == {"the reference is one constant"}


def test_outputs_that_never_change_are_degenerate() -> None:
    drawn = replace(REFERENCE, spec=CaseSpec("normal", 2), like_first=True)
    reason = "the output does not depend on the input"
    assert degenerate_numbers([REFERENCE, drawn]) == {"problem": reason, "normal": reason}
