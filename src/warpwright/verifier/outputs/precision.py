"""Errors of arrays and the bounds they must keep: the arithmetic of `docs/precision.md`.

Pure functions on numpy arrays; the arrays come from other processes.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from warpwright.types.verdict import ErrorMeasure

Values = npt.NDArray[Any]

# Half the distance from 1 to the next number: the largest relative error of one rounding.
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "float8_e4m3fn": 2.0**-4,
    "float8_e5m2": 2.0**-3,
}
ACCUMULATOR_ROUNDOFF = UNIT_ROUNDOFF["float32"]
POLICY_FACTOR_L2 = 1.5
POLICY_FACTOR_MAX = 2.0
PARENT_FACTOR_L2 = 1.05
# The largest of many errors differs by tens of percent when the same noise is drawn again.
PARENT_FACTOR_MAX = 1.5
CONDITIONING_FACTOR = 4.0
ELEMENTWISE_ROUNDINGS = 4.0  # a few float32 operations around the sums: scale, bias, activation
MAX_OVER_L2 = 4.0  # the worst of many elements lies about four standard deviations out


class TensorLike(Protocol):
    """Values with the name of their place in the output and torch's dtype name."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def data(self) -> Values: ...


def is_exact(dtype: str) -> bool:
    """Integers and booleans: they are compared element by element, not by size of error."""
    return dtype not in UNIT_ROUNDOFF and not dtype.startswith("complex")


def measure(output: Values, reference: Values, kept: Values | None = None) -> ErrorMeasure:
    """Error of `output` against float64 `reference`, over the elements in `kept` (all: None).

    A reference of zeros has no scale: then any difference is an infinite error.
    """
    y, r = output.astype(_wide(output)), reference.astype(_wide(reference))
    if kept is not None:
        y, r = y[kept], r[kept]
    if r.size == 0:
        return ErrorMeasure(0.0, 0.0)
    difference = np.abs(y - r)
    return ErrorMeasure(
        _ratio(_norm(difference), _norm(np.abs(r))),
        _ratio(float(difference.max()), float(np.abs(r).max())),
    )


def _wide(values: Values) -> np.dtype[Any]:
    return np.dtype(np.complex128 if values.dtype.kind == "c" else np.float64)


def _norm(values: Values) -> float:
    largest = float(values.max())
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.sum((values / largest) ** 2)))


def _ratio(error: float, scale: float) -> float:
    if error == 0:
        return 0.0
    return error / scale if scale > 0 else math.inf


def measure_exact(output: Values, reference: Values) -> ErrorMeasure:
    """For integers and booleans both numbers are the share of elements that differ."""
    if output.size == 0:
        return ErrorMeasure(0.0, 0.0)
    share = float((output.astype(np.float64) != reference.astype(np.float64)).mean())
    return ErrorMeasure(share, share)


def rounding_floor(dtype: str, summands: int, conditioning: float) -> ErrorMeasure:
    """Error that any honest float32-accumulating program may have, whatever eager's is.

    u_out + u32·(4 + 4·κ + √n): one rounding of the output, a few of the accumulator, what
    rounding of the inputs does to this operator (κ), and a random walk of n rounded additions
    (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §2.8 and §4.2).
    """
    accumulated = ACCUMULATOR_ROUNDOFF * (
        ELEMENTWISE_ROUNDINGS + CONDITIONING_FACTOR * conditioning + math.sqrt(summands)
    )
    own = UNIT_ROUNDOFF.get(dtype, ACCUMULATOR_ROUNDOFF)
    return ErrorMeasure(own + accumulated, own + MAX_OVER_L2 * accumulated)


def policy_bound(policy_error: ErrorMeasure, floor: ErrorMeasure) -> ErrorMeasure:
    """What the precision policy allows: eager's own error, with room, and the floor."""
    return ErrorMeasure(
        POLICY_FACTOR_L2 * policy_error.relative_l2 + floor.relative_l2,
        POLICY_FACTOR_MAX * policy_error.relative_max + floor.relative_max,
    )


def with_parent(bound: ErrorMeasure, parent_error: ErrorMeasure | None) -> ErrorMeasure:
    """The larger of the policy's bound and 1.05 × (largest error: 1.5 ×) the parent's own."""
    if parent_error is None:
        return bound
    return ErrorMeasure(
        max(bound.relative_l2, PARENT_FACTOR_L2 * parent_error.relative_l2),
        max(bound.relative_max, PARENT_FACTOR_MAX * parent_error.relative_max),
    )


def no_less_exact(
    error: ErrorMeasure, parent: ErrorMeasure, eager: ErrorMeasure, floor: ErrorMeasure
) -> bool:
    """Whether an output is as exact as its parent's, as an edit beyond the stage has to keep it.

    Within 1.05 × (largest error: 1.5 ×) the parent's, or both within eager's own error and the
    floor of rounding: errors of a few ulp are not compared by ratio.
    """
    if within(error, with_parent(ErrorMeasure(0.0, 0.0), parent)):
        return True
    usual = ErrorMeasure(
        eager.relative_l2 + floor.relative_l2, eager.relative_max + floor.relative_max
    )
    return within(error, usual) and within(parent, usual)


def within(error: ErrorMeasure, bound: ErrorMeasure) -> bool:
    """Whether both measures keep their bound; NaN keeps none."""
    return error.relative_l2 <= bound.relative_l2 and error.relative_max <= bound.relative_max


def kinds(values: Values) -> npt.NDArray[np.int8]:
    """By element: 0 finite, 1 NaN, 2 +Inf, 3 -Inf (complex: 0 or 1)."""
    found = np.zeros(values.shape, dtype=np.int8)
    if values.dtype.kind not in "fc":
        return found
    found[~np.isfinite(values)] = 1
    if values.dtype.kind == "f":
        found[np.isposinf(values)] = 2
        found[np.isneginf(values)] = 3
    return found


def bits_equal(a: TensorLike, b: TensorLike) -> bool:
    """Same dtype, same shape, same bits (so that NaN equals NaN and -0 differs from 0)."""
    if a.dtype != b.dtype or a.data.shape != b.data.shape:
        return False
    return np.ascontiguousarray(a.data).tobytes() == np.ascontiguousarray(b.data).tobytes()
