"""Outputs held against the reference, or against the parent where there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from warpwright.types.verdict import AccuracyCase, ErrorMeasure, Status
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.comparison import (
    JudgedOutput,
    ReferenceLike,
    distance,
    form_differs,
    judge_output,
    nonfinite_differs,
    nothing_finite,
)
from warpwright.verifier.outputs.precision import TensorLike, kinds
from warpwright.verifier.outputs.run_behaviour import RunLike, fail

NONFINITE = "nonfinite"
SECOND_CALL = "second call"
OFFSET = "offset"
CANCELLING = frozenset({"wide", "outliers", "large", OFFSET})
# Beyond these an output is not imprecise but wrong.
WRONG_L2 = 0.05
# Without a reference: two programs of one operator, each with TF32 or 16-bit operands, differ less,
# two that both have TF32 operands, and two that compute in float32 alone, by far.
APART_FROM_PARENT = 5e-3
APART_BOTH_WITH_DOTS = 2e-3
APART_IN_FLOAT32 = 2e-4
PARENT_BREAKS = "the parent breaks the precision policy"
NOT_FINITE_EITHER = (
    "the parent itself leaves its tensors on these smaller inputs, and gives NaN or Inf in the "
    "same places: they may be none that it is made for"
)
NO_REFERENCE = "not verified against a reference: none given"


def against_reference(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    *,
    alone: bool,
) -> AccuracyCase:
    """`alone`: the program replaces no other, so nothing excuses a NaN that it loses."""
    assert run.outputs is not None
    form = form_differs(run.outputs, reference.policy)
    if form is not None:
        return fail(case, form)
    others: Sequence[TensorLike | None] = [None] * len(run.outputs)
    if (
        parent is not None
        and parent.outputs is not None
        and form_differs(parent.outputs, reference.policy) is None
    ):
        others = parent.outputs
    if not alone and not _agrees(others, reference):
        if reference.name == NONFINITE:
            return _ungated(case, run, reference)
        if reference.name in CANCELLING and _overflows_as(run.outputs, others):
            return _ungated(case, run, reference)
    judged = [
        judge_output(got, other, right, policy, reference)
        for got, other, right, policy in zip(
            run.outputs, others, reference.outputs, reference.policy, strict=True
        )
    ]
    verdict = judged_case(case, judged)
    outside = parent is not None and bool(parent.memory_events)
    if verdict.status is Status.FAIL and outside and _not_finite_as(run.outputs, others, reference):
        return replace(verdict, status=Status.NOT_VERIFIED, reason=NOT_FINITE_EITHER)
    return verdict


def _not_finite_as(
    got: Sequence[TensorLike], parent: Sequence[TensorLike | None], reference: ReferenceLike
) -> bool:
    """Whether the parent has NaN or Inf where the reference has none, and this in the very places:
    then these inputs tell nothing of what was changed."""
    return not _agrees(parent, reference) and _overflows_as(got, parent)


def judged_case(case: AccuracyCase, judged: Sequence[JudgedOutput]) -> AccuracyCase:
    """The verdict on a case from its judged outputs: the worst one decides."""
    failed = [item for item in judged if item.failure is not None]
    worst = failed[0] if failed else max(judged, key=lambda item: item.strain)
    case = replace(
        case,
        error=worst.error,
        bound=worst.bound,
        parent_error=worst.parent_error,
        policy_error=worst.policy_error,
        less_exact=next((item.less_exact for item in judged if item.less_exact is not None), None),
    )
    return _with_parent_notes(case, worst)


def _with_parent_notes(case: AccuracyCase, worst: JudgedOutput) -> AccuracyCase:
    """Status and reason, and what there is to say of the parent."""
    parent_error = worst.parent_error
    breaks = parent_error is not None and not precision.within(parent_error, worst.policy_bound)
    if worst.failure is None and precision.within(worst.error, worst.policy_bound):
        status: Status = Status.PASS
    elif parent_error is not None and parent_error.relative_l2 > WRONG_L2:
        reason = f"the parent itself is wrong here: relative error {parent_error.relative_l2:.2g}"
        reason = f"{worst.failure}; {reason}" if worst.failure else reason
        if case.distribution == SECOND_CALL:
            reason = f"reported only, {reason} (a parameter that changes between calls is not seen)"
        return replace(case, reason=reason, gating=case.distribution not in (SECOND_CALL, OFFSET))
    else:
        status = Status.FAIL if worst.failure is not None else Status.PASS
    if breaks and parent_error is not None:
        note = (
            f"{PARENT_BREAKS}: relative error "
            f"{parent_error.relative_l2:.2g}, the policy allows "
            f"{worst.policy_bound.relative_l2:.2g}"
        )
        case = replace(case, notes=(*case.notes, note))
        within = precision.within(worst.error, worst.policy_bound)
        if case.distribution == OFFSET and not within and worst.error.relative_l2 <= WRONG_L2:
            # Both lose most digits, in an order of their own: which loses more is chance.
            return replace(case, gating=False, reason=f"reported only: {note}")
    return replace(case, status=status, reason=worst.failure)


def _agrees(outputs: Sequence[TensorLike | None], reference: ReferenceLike) -> bool:
    return all(
        other is not None and nonfinite_differs(other, right, policy) is None
        for other, right, policy in zip(outputs, reference.outputs, reference.policy, strict=True)
    )


def misplaced(run: RunLike | None, reference: ReferenceLike) -> bool:
    """Whether the outputs have another form, or NaN and Inf in other places; so has no output."""
    if run is None or run.outputs is None or form_differs(run.outputs, reference.policy):
        return True
    return not _agrees(run.outputs, reference)


def _overflows_as(got: Sequence[TensorLike], parent: Sequence[TensorLike | None]) -> bool:
    """NaN and Inf in the very places of the parent: products that overflow in the same order."""
    return all(
        other is not None and bool((kinds(item.data) == kinds(other.data)).all())
        for item, other in zip(got, parent, strict=True)
    )


def _ungated(case: AccuracyCase, run: RunLike, reference: ReferenceLike) -> AccuracyCase:
    """Values that overflow or are NaN, where the parent itself does not follow the operator."""
    assert run.outputs is not None
    differs = [
        reason
        for got, right, policy in zip(run.outputs, reference.outputs, reference.policy, strict=True)
        if (reason := nonfinite_differs(got, right, policy))
    ]
    found = differs[0] if differs else "NaN and Inf stand where the reference has them"
    return replace(case, gating=False, reason=f"reported only, the parent differs here: {found}")


def parent_is_right(case: AccuracyCase) -> bool:
    """Whether the parent's output was that of the reference, if imprecise."""
    return case.parent_error is not None and case.parent_error.relative_l2 <= WRONG_L2


def by_degenerate(
    case: AccuracyCase,
    judged: AccuracyCase,
    reason: str,
    *,
    misplaced: bool,
    parent_misplaced: bool,
) -> AccuracyCase:
    """The verdict by a reference that cannot show any output to be right, and some to be wrong.

    `judged`: by that reference. `reason`: why it shows little. `misplaced`: the output has another
    form, or NaN and Inf in other places than the reference. Else values far off count where the
    parent's are not; beside a reference of zeros no distance has a scale.
    """
    far = judged.error is not None and WRONG_L2 < judged.error.relative_l2 < math.inf
    shown = not parent_misplaced if misplaced else far and parent_is_right(judged)
    wrong = judged.status is Status.FAIL and shown
    return judged if wrong else replace(case, reason=reason, gating=False)


class Parameters(Protocol):
    """How a run got the reference's parameters."""

    @property
    def parameters(self) -> str: ...
    @property
    def parameters_matched(self) -> bool: ...


def by_parameters(
    judged: AccuracyCase, run: Parameters, beside: Callable[[str], AccuracyCase] | None
) -> AccuracyCase:
    """The verdict by the reference, where the run's parameters are sure to be the reference's.

    A pass proves a guess at them, and so does a parent that is right. Else the parent, which has
    the same, can tell: `beside` gives the verdict by it, from what is said of the reference; None
    where there is no parent.
    """
    if run.parameters_matched or judged.status is Status.PASS or parent_is_right(judged):
        return judged
    if beside is None:
        reason = f"{judged.reason}; but {run.parameters}"
        return replace(judged, status=Status.NOT_VERIFIED, reason=reason)
    return beside(f"not verified against the reference: {run.parameters}")


def apart_limit(parent: str, child: str) -> float:
    """How far outputs of two sources may be apart where nothing says what is right.

    What 16 bits the candidate alone rounds to counts for nothing: that is what is looked for.
    """
    if not child or _NARROW.search(parent):
        return APART_FROM_PARENT
    dots = [bool(_DOT.search(source)) for source in (parent, child)]
    if not any(dots):
        return APART_IN_FLOAT32
    return APART_BOTH_WITH_DOTS if all(dots) else APART_FROM_PARENT


_NARROW = re.compile(r"\.(b?float16|float8|half\b)")
_DOT = re.compile(r"\bdot(_scaled)?\(")


def against_parent(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    unverified: str = NO_REFERENCE,
    limit: float = APART_FROM_PARENT,
) -> AccuracyCase:
    """The parent's output is all there is to compare with. `unverified`: why, in words; `limit`:
    of the distance."""
    assert run.outputs is not None
    if parent is None or parent.outputs is None or parent is run:
        return replace(case, reason=unverified)
    form = form_differs(run.outputs, parent.outputs)
    if form is not None:
        return fail(case, f"differs from the parent: {form}")
    if case.bit_equal_to_parent:
        return replace(case, reason=f"equal to the parent; {unverified}")
    error = ErrorMeasure(0.0, 0.0)
    for got, other in zip(run.outputs, parent.outputs, strict=True):
        positions = nonfinite_differs(got, other, other)
        if positions is not None:
            finite = not nothing_finite(other.data)
            return nonfinite_apart(case, positions, unverified, parent_finite=finite)
        error = max(error, distance(got, other), key=lambda item: item.relative_l2)
    if any("float16" in spec or "float8" in spec for spec in case.inputs):
        limit = APART_FROM_PARENT
    return apart(case, error, unverified, limit)


def nonfinite_apart(
    case: AccuracyCase, positions: str, unverified: str, *, parent_finite: bool
) -> AccuracyCase:
    """The verdict on NaN and Inf in other places than the parent's, without a reference.

    `parent_finite`: whether the parent's output has any finite element.
    """
    if case.distribution == NONFINITE:  # the parent may be the one that loses a NaN
        reason = f"reported only, {unverified}; apart from the parent, {positions}"
        return replace(case, gating=False, reason=reason)
    if not parent_finite:
        reason = f"the parent gives nothing but NaN or Inf here; {unverified}"
        return replace(case, reason=reason)
    return fail(case, f"differs from the parent: {positions}")


def apart(
    case: AccuracyCase, error: ErrorMeasure, unverified: str, limit: float = APART_FROM_PARENT
) -> AccuracyCase:
    """The verdict on a distance from the parent's output, without a reference."""
    case = replace(case, error=error)
    # Terms that cancel leave little but rounding, and nothing here tells how much.
    limit = WRONG_L2 if case.distribution in CANCELLING else limit
    if not error.relative_l2 <= limit:
        return fail(case, f"differs from the parent: relative error {error.relative_l2:.2g}")
    away = f"{error.relative_l2:.2g} away from the parent"
    return replace(case, reason=f"{away}; {unverified}")
