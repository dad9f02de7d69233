"""Comparing one program's output tensors with what is right: pure functions on arrays.

`sandbox` computes the arrays; `verifier.outputs.interpreted` turns these comparisons into verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from warpwright.types.shapes import TensorSpec
from warpwright.types.verdict import ErrorMeasure
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.precision import TensorLike, Values

DROWNED_L2 = 0.1  # an eager error of this size: the reference tells nothing
NEGLIGIBLE = 1e-30
# Cases whose inputs have other values than the problem's.
REDRAWN = (
    "normal",
    "wide",
    "outliers",
    "negative",
    "large",
    "offset",
)


class ReferenceLike(Protocol):
    """One set of inputs and what is right for it (`sandbox.reference.ReferenceCase`)."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Sequence[TensorSpec]: ...
    @property
    def outputs(self) -> Sequence[TensorLike]: ...
    @property
    def policy(self) -> Sequence[TensorLike]: ...
    @property
    def summands(self) -> int: ...
    @property
    def conditioning(self) -> Mapping[str, float]: ...
    @property
    def changes_inputs(self) -> Sequence[int]: ...


def degenerate_references(references: Sequence[ReferenceLike]) -> dict[str, str]:
    """Cases whose reference cannot tell right from wrong, each with the reason."""
    reasons = {
        reference.name: reason
        for reference in references
        if reference.outputs and (reason := _degenerate(reference))
    }
    computed = [reference for reference in references if reference.outputs]
    first = computed[0] if computed else None
    if first is not None and _all_same(first, [r for r in computed[1:] if r.name in REDRAWN]):
        for reference in computed:
            reasons.setdefault(reference.name, "the output does not depend on the input")
    return reasons


def _all_same(first: ReferenceLike, others: Sequence[ReferenceLike]) -> bool:
    return bool(others) and all(
        all(precision.bits_equal(a, b) for a, b in zip(first.outputs, other.outputs, strict=True))
        for other in others
    )


def _degenerate(reference: ReferenceLike) -> str | None:
    """The reason when no output of the case can tell anything."""
    reasons = []
    for right, policy in zip(reference.outputs, reference.policy, strict=True):
        reason = _degenerate_output(right, policy, reference.conditioning.get(right.name, 0.0))
        if reason is None:
            return None
        reasons.append(reason)
    return reasons[0] if reasons else "the operator returns no tensor"


def _degenerate_output(right: TensorLike, policy: TensorLike, conditioning: float) -> str | None:
    kept = (precision.kinds(right.data) == 0) & (precision.kinds(policy.data) == 0)
    values = right.data[kept]
    exact = precision.is_exact(policy.dtype)
    return degenerate_reason(
        finite=values.size,
        largest=float(np.abs(values).max()) if values.size else 0.0,
        constant=values.size > 1 and bool((values == values.reshape(-1)[0]).all()),
        eager_l2=0.0 if exact else precision.measure(policy.data, right.data, kept).relative_l2,
        conditioning=0.0 if exact else conditioning,
    )


def degenerate_reason(
    *, finite: int, largest: float, constant: bool, eager_l2: float, conditioning: float
) -> str | None:
    """Why one output of a reference cannot tell right from wrong; None: it can.

    `finite` counts the elements that reference and eager PyTorch both have finite, `largest` is
    the largest magnitude among these, `constant` whether they are all one value.
    """
    if finite == 0:
        return "the reference has no finite value"
    if largest < NEGLIGIBLE:
        return "the reference is zero everywhere"
    if constant:
        return "the reference is one constant"
    noise = precision.ACCUMULATOR_ROUNDOFF * precision.CONDITIONING_FACTOR * conditioning
    if max(eager_l2, noise) > DROWNED_L2:
        return "the reference drowns in rounding: eager PyTorch's own error is as large"
    return None


def all_bits_equal(a: Sequence[TensorLike], b: Sequence[TensorLike]) -> bool:
    return len(a) == len(b) and all(precision.bits_equal(x, y) for x, y in zip(a, b, strict=True))


def form_differs(got: Sequence[TensorLike], wanted: Sequence[TensorLike]) -> str | None:
    """Number, places, dtypes and shapes of the outputs must agree exactly."""
    if [item.name for item in got] != [item.name for item in wanted]:
        names = ", ".join(item.name for item in got) or "nothing"
        return f"it returns {names} instead of {', '.join(item.name for item in wanted)}"
    for item, right in zip(got, wanted, strict=True):
        if item.dtype != right.dtype:
            return f"{item.name} is {item.dtype} instead of {right.dtype}"
        if item.data.shape != right.data.shape:
            return f"{item.name} has shape {item.data.shape} instead of {right.data.shape}"
    return None


@dataclass(frozen=True, slots=True)
class JudgedOutput:
    """One output tensor: errors, bounds, and why it fails (None: it does not)."""

    error: ErrorMeasure
    policy_error: ErrorMeasure
    policy_bound: ErrorMeasure
    bound: ErrorMeasure
    parent_error: ErrorMeasure | None
    failure: str | None
    less_exact: str | None = None  # than the parent's, in numbers; None without one, too

    @property
    def strain(self) -> float:
        """How much of its bound the error uses; above 1 it fails."""
        pairs = (
            (self.error.relative_l2, self.bound.relative_l2),
            (self.error.relative_max, self.bound.relative_max),
        )
        return max(error / bound if bound > 0 else error and np.inf for error, bound in pairs)


def judge_output(
    got: TensorLike,
    parent: TensorLike | None,
    right: TensorLike,
    policy: TensorLike,
    reference: ReferenceLike,
) -> JudgedOutput:
    """Measure one output's arrays, then judge the errors."""
    measure: Callable[[Values], ErrorMeasure]
    kept = (precision.kinds(right.data) == 0) & (precision.kinds(policy.data) == 0)
    if precision.is_exact(policy.dtype):
        measure = lambda data: precision.measure_exact(data, right.data)  # noqa: E731
    else:
        measure = lambda data: precision.measure(data, right.data, kept)  # noqa: E731
    return judge_errors(
        got.name,
        policy.dtype,
        error=measure(got.data),
        parent_error=None if parent is None else measure(parent.data),
        policy_error=measure(policy.data),
        summands=reference.summands,
        conditioning=reference.conditioning.get(right.name, 0.0),
        nonfinite=nonfinite_differs(got, right, policy),
    )


def judge_errors(
    name: str,
    dtype: str,
    *,
    error: ErrorMeasure,
    parent_error: ErrorMeasure | None,
    policy_error: ErrorMeasure,
    summands: int,
    conditioning: float,
    nonfinite: str | None,
) -> JudgedOutput:
    """Judge one output by its errors, wherever they were measured.

    All errors are against the float64 reference; `dtype` is eager PyTorch's. `nonfinite` says
    where NaN and Inf stand wrong (None: nowhere).
    """
    floor = ErrorMeasure(0.0, 0.0)
    if not precision.is_exact(dtype):
        floor = precision.rounding_floor(dtype, summands, conditioning)
    policy_bound = precision.policy_bound(policy_error, floor)
    excused = None if parent_error is None else _finite_error(parent_error)
    bound = precision.with_parent(policy_bound, excused)
    failure = nonfinite
    if failure is None and not precision.within(error, bound):
        failure = _too_large(name, error, bound)
    less = None
    if excused is not None and not precision.no_less_exact(error, excused, policy_error, floor):
        less = _less_exact(name, error, excused)
    return JudgedOutput(error, policy_error, policy_bound, bound, excused, failure, less)


def _less_exact(name: str, error: ErrorMeasure, parent: ErrorMeasure) -> str:
    return (
        f"{name}: relative error {error.relative_l2:.3g} (L2), {error.relative_max:.3g} (largest); "
        f"the parent's is {parent.relative_l2:.3g}, {parent.relative_max:.3g}"
    )


def _finite_error(error: ErrorMeasure) -> ErrorMeasure | None:
    """A parent whose error is NaN or infinite excuses nothing."""
    finite = np.isfinite(error.relative_l2) and np.isfinite(error.relative_max)
    return error if finite else None


def _too_large(name: str, error: ErrorMeasure, bound: ErrorMeasure) -> str:
    if not error.relative_l2 <= bound.relative_l2:
        return (
            f"{name}: relative error {error.relative_l2:.2g} (L2), "
            f"{bound.relative_l2:.2g} is allowed"
        )
    return (
        f"{name}: largest error {error.relative_max:.2g} of the largest value, "
        f"{bound.relative_max:.2g} is allowed"
    )


def nonfinite_differs(got: TensorLike, right: TensorLike, policy: TensorLike) -> str | None:
    """NaN, +Inf and -Inf must stand where both the reference and eager PyTorch have them."""
    wanted = precision.kinds(right.data)
    decided = wanted == precision.kinds(policy.data)  # elsewhere it is a matter of overflow
    wrong = decided & (precision.kinds(got.data) != wanted)
    count = int(wrong.sum())
    if count == 0:
        return None
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return nonfinite_text(got.name, count, wrong.size, place)


def nothing_finite(values: Values) -> bool:
    """Whether all of an output is NaN or infinite, so that it is no measure for another."""
    return not bool((precision.kinds(values) == 0).any())


def nonfinite_text(name: str, count: int, size: int, place: Sequence[int]) -> str:
    """What is said of `count` misplaced NaN and Inf of `size` elements, the first at `place`."""
    return (
        f"{name}: {count} of {size} elements are NaN or Inf where the reference is not, "
        f"or the other way round; first at {tuple(place)}"
    )


def distance(got: TensorLike, other: TensorLike) -> ErrorMeasure:
    """How far two outputs of one form are apart, relative to the second."""
    if precision.is_exact(other.dtype):
        return precision.measure_exact(got.data, other.data)
    return precision.measure(got.data, other.data, precision.kinds(other.data) == 0)
