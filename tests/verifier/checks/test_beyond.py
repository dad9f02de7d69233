"""Edits beyond the stage: what the cases of the accuracy check say of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.types.edit import Edit, EditKind
from warpwright.types.verdict import AccuracyCase, CheckResult, EditLimits, ErrorMeasure, Status
from warpwright.verifier.checks.beyond import RULE, check_beyond
from warpwright.verifier.outputs.precision import no_less_exact

EDITS = (Edit(EditKind.KERNEL_BODY, "some_kernel", "a", "b", 12),)
EXACT = AccuracyCase(
    "TILE=32", ("(2, 4) float32",), "normal", Status.PASS, bit_equal_to_parent=True
)
NEAR = replace(
    EXACT,
    bit_equal_to_parent=False,
    error=ErrorMeasure(1.02e-3, 1.4e-3),
    parent_error=ErrorMeasure(1e-3, 1e-3),
)
WORSE = replace(NEAR, less_exact="output: relative error 0.0011")


def verdict(*cases: AccuracyCase, strict: bool = False, bit_equal: bool = False) -> CheckResult:
    result = check_beyond(EDITS, cases, EditLimits(strict, bit_equal))
    assert result is not None
    return result


def test_without_edits_there_is_no_verdict() -> None:
    assert check_beyond((), (WORSE,), EditLimits()) is None


def test_equal_bits_or_no_larger_errors_pass() -> None:
    assert verdict(EXACT, EXACT).status is Status.PASS
    assert verdict(EXACT, NEAR).status is Status.PASS


def test_one_case_that_is_less_exact_refuses_and_is_named_with_its_numbers() -> None:
    result = verdict(EXACT, NEAR, WORSE)
    assert result.status is Status.FAIL
    (violation,) = result.violations
    assert violation.rule == RULE and violation.line == 12
    assert "0.0011" in violation.found and "normal" in violation.expected


def test_a_case_that_only_reports_decides_nothing() -> None:
    assert verdict(EXACT, replace(WORSE, gating=False)).status is Status.PASS


@pytest.mark.parametrize(
    "cases",
    [
        (),
        (replace(EXACT, gating=False),),
        (EXACT, replace(NEAR, parent_error=None)),
        (EXACT, replace(NEAR, status=Status.NOT_VERIFIED)),
    ],
)
def test_what_was_not_compared_is_not_verified(cases: tuple[AccuracyCase, ...]) -> None:
    assert verdict(*cases).status is Status.NOT_VERIFIED


def test_strict_wants_no_such_edit_and_bit_equal_none_that_changes_a_bit() -> None:
    assert verdict(EXACT, strict=True).status is Status.FAIL
    assert verdict(EXACT, bit_equal=True).status is Status.PASS
    assert verdict(EXACT, NEAR, bit_equal=True).status is Status.FAIL
    unknown = replace(EXACT, bit_equal_to_parent=None)
    assert verdict(unknown, bit_equal=True).status is Status.NOT_VERIFIED


@pytest.mark.parametrize(
    ("error", "parent", "exact"),
    [
        ((1.04e-3, 1.4e-3), (1e-3, 1e-3), True),  # both ratios kept
        ((1.06e-3, 1e-3), (1e-3, 1e-3), False),  # 1.06 ×
        ((1e-3, 1.6e-3), (1e-3, 1e-3), False),  # 1.6 × in the largest
        ((3e-7, 8e-7), (1e-7, 1e-7), True),  # ulps: both within eager's and the floor
        ((2.9e-4, 2.9e-4), (1e-7, 1e-7), True),  # both within eager's own
        ((4e-4, 4e-4), (1e-7, 1e-7), False),  # the parent is, the candidate is not
        ((0.0, 0.0), (0.0, 0.0), True),
        ((float("nan"), 0.0), (1e-3, 1e-3), False),
    ],
)
def test_no_less_exact_is_by_ratio_or_both_within_eagers_error(
    error: tuple[float, float], parent: tuple[float, float], exact: bool
) -> None:
    eager, floor = ErrorMeasure(3e-4, 3e-4), ErrorMeasure(1e-6, 4e-6)
    assert no_less_exact(ErrorMeasure(*error), ErrorMeasure(*parent), eager, floor) is exact
