"""How a run of a program behaved, before its outputs are looked at: did it end, did it stay inside
its tensors, did it leave its inputs alone, did it launch its kernels?

Each function gives the verdict that settles a case, or None where nothing settles it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from warpwright.types.verdict import RACE, AccuracyCase, Status
from warpwright.verifier.outputs.comparison import ReferenceLike
from warpwright.verifier.outputs.precision import TensorLike

# One block that takes so many times what the parent takes for all of its launches does not end:
# smaller tiles cost the interpreter more steps, but share them among more blocks.
ENDLESS_TIMES = 20.0
ENDLESS_LEAST_S = 20.0  # of processor time; less says little of a parent of some milliseconds


class RunLike(Protocol):
    """One run of a program (`sandbox.interpret.Interpretation`)."""

    @property
    def run(self) -> Any: ...  # has `case` and `label`
    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def outputs(self) -> Sequence[TensorLike] | None: ...
    @property
    def launches(self) -> Mapping[str, int]: ...
    @property
    def changed_inputs(self) -> Sequence[int]: ...
    @property
    def memory_events(
        self,
    ) -> Sequence[Any]: ...  # each has `access`, `text` (its source line) and a str
    @property
    def parameters(self) -> str: ...
    @property
    def parameters_matched(self) -> bool: ...
    @property
    def cpu_s(self) -> float | None: ...
    @property
    def block_cpu_s(self) -> float | None: ...


def fail(case: AccuracyCase, reason: str) -> AccuracyCase:
    return replace(case, status=Status.FAIL, reason=reason)


def outcome_verdict(
    case: AccuracyCase, run: RunLike, parent: RunLike | None
) -> AccuracyCase | None:
    """A run without outputs: skipped, unsupported, failed, or stopped for its time."""
    if run.outputs is not None:
        return None
    reason = run.reason or str(run.outcome)
    if run.outcome == "skipped":
        return replace(case, reason=reason, gating=False)
    if run.outcome == "unsupported":
        return replace(case, reason=f"the interpreter cannot run it: {reason}")
    if run.outcome != "failed":
        endless = _endless(run, parent)
        return replace(case, reason=reason) if endless is None else fail(case, endless)
    if parent is not None and parent is not run and parent.outputs is None:
        return replace(case, reason=f"the parent fails here too: {reason}")
    return fail(case, reason)


def _endless(run: RunLike, parent: RunLike | None) -> str | None:
    """Why a run that was stopped would not have ended; None where it might have.

    Processor times are compared, so that a busy machine refuses nothing, and one block of the run
    with all of the parent's.
    """
    if parent is None or parent is run or parent.outputs is None or parent.cpu_s is None:
        return None
    least_s = max(ENDLESS_LEAST_S, ENDLESS_TIMES * parent.cpu_s)
    if run.block_cpu_s is None or run.block_cpu_s < least_s:
        return None
    return (
        f"it does not end: one block of a kernel was still running after {run.block_cpu_s:.0f} s, "
        f"where the parent's whole run takes {parent.cpu_s:.2g} s"
    )


def memory_verdict(
    case: AccuracyCase, run: RunLike, parent: RunLike | None, parent_lines: Collection[str]
) -> AccuracyCase | None:
    """Out of bounds: writes fail, or settle nothing where the parent has some of its own; reads
    fail unless the parent does it, or has the same load. So do races, unless the parent has one."""
    compared = parent is not None and parent is not run
    writes = [str(event) for event in run.memory_events if event.access == "write"]
    if writes:
        before = parent.memory_events if compared and parent is not None else ()
        if any(event.access == "write" for event in before):  # sizes that the parent is not for
            return replace(case, reason=f"{writes[0]}; so it is in the parent", gating=False)
        return fail(case, writes[0])
    reads = [
        str(event)
        for event in run.memory_events
        if event.access != RACE and event.text not in parent_lines
    ]
    if reads and not (compared and parent is not None and parent.memory_events):
        return fail(case, reads[0])
    races = [str(event) for event in run.memory_events if event.access == RACE]
    theirs = parent.memory_events if compared and parent is not None else ()
    if races and not any(event.access == RACE for event in theirs):
        return fail(case, races[0])
    return None


def inputs_verdict(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
) -> AccuracyCase | None:
    """A run that changes an input which neither the operator nor the parent changes."""
    theirs = () if parent is None or parent is run else parent.changed_inputs
    return unasked_change(case, run.changed_inputs, (*reference.changes_inputs, *theirs))


def unasked_change(
    case: AccuracyCase, changed: Sequence[int], allowed: Collection[int]
) -> AccuracyCase | None:
    """The failure of a run that changes inputs which neither operator nor parent changes."""
    unasked = [index for index in changed if index not in allowed]
    return fail(case, f"it changes its input {unasked[0]} in place") if unasked else None


def launched_all(
    case: AccuracyCase, launches: Mapping[str, int], required: Sequence[str]
) -> AccuracyCase | None:
    """The open verdict of a run that did not launch every required kernel; None: it did."""
    if not required:
        return replace(case, reason="no kernel is known that must be launched")
    missing = [kernel for kernel in required if not launches.get(kernel)]
    if not missing:
        return None
    return replace(case, reason=f"not launched: {', '.join(missing)}")
