"""Is what some blocks of a launch wrote at full size right? Judges values that children computed.

Each element that the candidate's blocks wrote is held against the same element of the parent, as
far as the parent's blocks wrote it too, or against the problem's own model in float64. What neither
of them has is not compared. The bounds are in `docs/precision.md`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from warpwright.types.verdict import CheckResult, ErrorMeasure, Status, Violation
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.compare_outputs import APART_FROM_PARENT, WRONG_L2
from warpwright.verifier.outputs.precision import TensorLike, Values

CHECK = "full size"
SKIPPED = "not verified at full size"
# Beside `APART_FROM_PARENT`: the largest of many errors lies some four times further out.
APART_MAX = 4 * APART_FROM_PARENT
ROUNDINGS = 2.0  # of the output's type: each of two programs rounds once
PARENT_FACTOR = 1.5  # by which an error may exceed the parent's, measured on other elements
# Of the elements of the side that has fewer; below it, a reference is worth its time.
ENOUGH = 0.5
FAILED, OK = "failed", "ok"


class OutputLike(Protocol):
    """Some elements of one output: `at` are flat indices, ascending."""

    @property
    def values(self) -> TensorLike: ...
    @property
    def at(self) -> Values: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def counts(self) -> Sequence[int]: ...  # by block; empty where all blocks ran


class SpotLike(Protocol):
    """One program at full size (`sandbox.spot.SpotRun`)."""

    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def outputs(self) -> Sequence[OutputLike]: ...
    @property
    def kernel(self) -> str | None: ...
    @property
    def ran(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def mixed(self) -> str | None: ...
    @property
    def matched(self) -> bool: ...
    @property
    def digest(self) -> str: ...
    @property
    def repeats(self) -> bool: ...
    @property
    def memory_events(self) -> Sequence[Any]: ...  # as of `verifier.outputs.conduct.RunLike`


@dataclass(frozen=True, slots=True)
class Compared:
    """The elements that two sides have in common: how many, how far apart, and what is wrong.

    `of`: how many the side has that has fewer.
    """

    count: int
    of: int
    error: ErrorMeasure
    fault: str | None = None

    @property
    def is_enough(self) -> bool:
        return self.count > 0 and self.count >= ENOUGH * self.of


def conduct_at_full_size(
    run: SpotLike, parent: SpotLike, parent_lines: Collection[str]
) -> CheckResult | str | None:
    """The verdict on a run before its values are looked at; text: why it shows nothing.

    None: its values decide. `parent_lines`: the parent's source, line by line, without indents.
    """
    parent_ran = parent.outcome == OK
    if run.outcome == FAILED and parent_ran:
        return failed(f"it fails on the problem's own inputs: {run.reason}")
    if run.outcome != OK:
        return f"{SKIPPED}: {run.reason or run.outcome}"
    if not parent_ran:
        return f"{SKIPPED}: the parent: {parent.reason or parent.outcome}"
    outside = _outside(run, parent, parent_lines)
    if outside is not None:
        return failed(outside)
    form = _form(run, parent)
    if form is not None:
        return failed(form)
    if run.digest != parent.digest:
        return f"{SKIPPED}: get_inputs gives other values in each process"
    if run.matched != parent.matched:
        return f"{SKIPPED}: the programs did not get the same parameters"
    mixed = run.mixed or parent.mixed
    return None if mixed is None else f"{SKIPPED}: {mixed}, and not all blocks were run"


def _outside(run: SpotLike, parent: SpotLike, parent_lines: Collection[str]) -> str | None:
    """An access outside of all tensors that the parent does not make."""
    theirs = {event.access for event in parent.memory_events}
    for event in run.memory_events:
        known = event.access in theirs or (event.access == "read" and event.text in parent_lines)
        if not known:
            return str(event)
    return None


def _form(run: SpotLike, parent: SpotLike) -> str | None:
    def form(spot: SpotLike) -> list[tuple[str, str, tuple[int, ...]]]:
        return [(o.values.name, o.values.dtype, o.shape) for o in spot.outputs]

    ours, theirs = form(run), form(parent)
    return None if ours == theirs else f"it returns {ours} instead of {theirs}"


def against_parent_blocks(run: SpotLike, parent: SpotLike) -> Compared:
    """Every element that both have."""
    found = []
    for ours, theirs in zip(run.outputs, parent.outputs, strict=True):
        at, at_theirs = _common(ours, theirs)
        values, others = ours.values.data[at], theirs.values.data[at_theirs]
        fault, error = _apart(ours.values, values, others, ErrorMeasure(0.0, 0.0))
        fewer = min(ours.at.size, theirs.at.size)
        found.append(Compared(at.size, fewer, error, fault))
    return _joined(found)


def _common(ours: OutputLike, theirs: OutputLike) -> tuple[Values, Values]:
    """Where each side has the elements that both have."""
    size = math.prod(ours.shape)
    if ours.at.size == size:  # all of them: no search among millions
        return theirs.at, np.arange(theirs.at.size)
    if theirs.at.size == size:
        return np.arange(ours.at.size), ours.at
    _, at, at_theirs = np.intersect1d(ours.at, theirs.at, assume_unique=True, return_indices=True)
    return at, at_theirs


def left_out(run: SpotLike, parent: SpotLike) -> str | None:
    """Elements that no block can write: its blocks are too few for the output, or lose some.

    A block writes as many elements as the largest of those that ran, at most, provided that several
    of them wrote as many; so much is said only where the parent's blocks are not too few, and wrote
    elements that the candidate's did not.
    """
    for ours, theirs in zip(run.outputs, parent.outputs, strict=True):
        size = math.prod(ours.shape)
        if not ours.counts or _most(ours, run.of) >= size or _most(theirs, parent.of) < size:
            continue
        missing = np.setdiff1d(theirs.at, ours.at, assume_unique=True)
        if sum(count == max(ours.counts) for count in ours.counts) > 1 and missing.size:
            return (
                f"{ours.values.name}: the {run.of:,} blocks of {run.kernel} write "
                f"{_most(ours, run.of):,} of its {size:,} elements at most; not written by those "
                f"that ran is element {missing[-1]:,}, which the parent writes"
            )
    return None


def _most(output: OutputLike, blocks: int) -> int:
    """The elements of an output that a launch can write, from the blocks of it that ran."""
    if not output.counts:
        return math.prod(output.shape)
    largest = max(output.counts)
    return blocks * largest - sum(largest - count for count in output.counts)


def against_reference_values(
    run: SpotLike, parent: SpotLike, reference: Mapping[str, tuple[Values, Values]]
) -> Compared | None:
    """Every element of the candidate; None where the parent is not right there either.

    `reference`: output → flat indices, ascending, and values, of the elements of both programs.
    """
    found = []
    for ours, theirs in zip(run.outputs, parent.outputs, strict=True):
        at, right = reference[ours.values.name]
        expected = right[np.searchsorted(at, theirs.at)]
        kept = precision.kinds(expected) == 0
        own = precision.measure(theirs.values.data, expected, kept)
        if not own.relative_l2 <= WRONG_L2:
            return None
        values = right[np.searchsorted(at, ours.at)]
        fault, error = _apart(ours.values, ours.values.data, values, own)
        found.append(Compared(ours.at.size, ours.at.size, error, fault))
    return _joined(found)


def _apart(
    output: TensorLike, values: Values, right: Values, own: ErrorMeasure
) -> tuple[str | None, ErrorMeasure]:
    """What is wrong with values, and their error. `own`: the parent's, where it is known."""
    if values.size == 0:
        return None, ErrorMeasure(0.0, 0.0)
    if precision.is_exact(output.dtype):
        error = precision.measure_exact(values, right)
        bound = ErrorMeasure(APART_FROM_PARENT, APART_FROM_PARENT)
    else:
        misplaced = int((precision.kinds(values) != precision.kinds(right)).sum())
        if misplaced:
            fault = f"NaN or Inf in other places ({misplaced:,} of {values.size:,} elements)"
            return f"{output.name}: {fault}", ErrorMeasure(np.inf, np.inf)
        error = precision.measure(values, right, precision.kinds(right) == 0)
        rounding = ROUNDINGS * precision.UNIT_ROUNDOFF.get(output.dtype, 0.0)
        bound = ErrorMeasure(
            max(APART_FROM_PARENT, PARENT_FACTOR * own.relative_l2) + rounding,
            max(APART_MAX, PARENT_FACTOR * own.relative_max) + 4 * rounding,
        )
    if precision.within(error, bound):
        return None, error
    return (
        f"{output.name}: relative error {error.relative_l2:.2g} over {values.size:,} elements, "
        f"the largest {error.relative_max:.2g} of the largest value"
    ), error


def _joined(found: Sequence[Compared]) -> Compared:
    faults = [item.fault for item in found if item.fault is not None]
    worst = max(
        (item.error for item in found), key=lambda e: e.relative_l2, default=ErrorMeasure(0.0, 0.0)
    )
    count, of = sum(item.count for item in found), sum(item.of for item in found)
    return Compared(count, of, worst, faults[0] if faults else None)


def concluded(run: SpotLike, compared: Compared, beside: str) -> CheckResult | str:
    """The verdict by what was compared; `beside` names the other side."""
    if compared.fault is not None:
        return failed(f"{compared.fault}, beside {beside}; {_blocks(run)}")
    if compared.count == 0:
        return f"{SKIPPED}: {beside} has none of the elements that the chosen blocks wrote"
    repeats = "; inputs over 512 MiB repeat a pattern of values" if run.repeats else ""
    note = (
        f"{compared.count:,} elements compared with {beside} at full size, {_blocks(run)}: "
        f"relative error {compared.error.relative_l2:.2g}{repeats}"
    )
    return CheckResult(CHECK, Status.PASS, notes=(note,))


def _blocks(run: SpotLike) -> str:
    if run.kernel is None:
        return "after every block of the candidate ran"
    return f"written by {run.ran} of the {run.of:,} blocks of {run.kernel}"


def failed(found: str) -> CheckResult:
    """The check, failed for what was found."""
    expected = "the parent's output on the problem's own sizes"
    return CheckResult(CHECK, Status.FAIL, (Violation(CHECK, None, expected, found),))
