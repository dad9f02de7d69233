"""What the reference process says of outputs: numbers, from which the verifier makes a verdict.

Full-size outputs are compared where they lie, on the GPU, by a process that never ran a candidate;
only these numbers reach the main process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.shapes import TensorSpec
from warpwright.types.verdict import ErrorMeasure


@dataclass(frozen=True, slots=True)
class CaseSpec:
    """Inputs that every process makes by itself: a kind of data and a seed.

    `positive`: absolute values, because the operator is undefined for negative ones. `state`:
    which of the reference process's parameter sets. `batch`: the leading part of this size; None:
    all.
    `scale` multiplies floating-point values: how slow inputs are varied from call to call.
    """

    name: str
    seed: int
    positive: bool = False
    state: str = "own"
    batch: int | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class NonfiniteMismatch:
    """NaN or Inf in `count` of `size` elements where the reference has none, or the other way."""

    count: int
    size: int
    place: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutputNumbers:
    """One output tensor of a program. Errors are None where the form differs from eager's."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    error: ErrorMeasure | None = None
    nonfinite: NonfiniteMismatch | None = None


@dataclass(frozen=True, slots=True)
class ReferenceOutput:
    """One output of the problem: form and eager's error against float64, and what it can tell.

    `finite` elements are finite in reference and eager output; `largest` is their largest
    magnitude; `constant`: they are all one value. `conditioning`: see `docs/precision.md`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    policy_error: ErrorMeasure
    conditioning: float
    finite: int
    largest: float
    constant: bool


@dataclass(frozen=True, slots=True)
class ReferenceNumbers:
    """One case of the problem. No outputs: the problem has no model to compare with.

    `like_first`: every output is bit-equal to that of the problem's own inputs. `how` tells where
    and in how many chunks the float64 reference was computed. `skipped`: why there is no case.
    """

    spec: CaseSpec
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[ReferenceOutput, ...] = ()
    summands: int = 0
    changes_inputs: tuple[int, ...] = ()
    like_first: bool = False
    how: str = ""
    skipped: str | None = None

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class CheckNumbers:
    """One run of a program on one case at full size. `outputs` is None unless it ended well.

    `launches`: kernel → launches with a grid that is not empty. `apart` is the distance from the
    parent's output on the same inputs, where the reference process has it, `apart_nonfinite` the
    NaN and Inf that differ; `parent_finite`: whether the parent's output that differs there
    has any finite element.
    """

    case: str
    label: str
    outcome: str
    reason: str | None = None
    outputs: tuple[OutputNumbers, ...] | None = None
    launches: Mapping[str, int] = field(default_factory=dict)
    changed_inputs: tuple[int, ...] = ()
    parameters: str = ""
    parameters_matched: bool = True
    bit_equal_to_parent: bool | None = None
    apart: ErrorMeasure | None = None
    apart_nonfinite: NonfiniteMismatch | None = None
    parent_finite: bool = True
