"""What a time limit that ended the checks leaves of a verdict: pure functions on cases.

A run that was stopped shows nothing, neither of its program nor of one that is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.types.verdict import NOT_IN_TIME, AccuracyCase, Status
from warpwright.verifier.outputs.run_behaviour import RunLike

LISTED = 3


def was_cut(run: RunLike | None) -> bool:
    """Whether the time limit of the whole command ended the run, or kept it from beginning."""
    return run is not None and run.outputs is None and (run.reason or "").startswith(NOT_IN_TIME)


def without_excuse(case: AccuracyCase, run: RunLike, parent: RunLike | None) -> AccuracyCase:
    """A failure that the parent might excuse is open where the parent's own run was cut.

    A write outside of all tensors is a failure whatever the parent does.
    """
    writes = any(event.access == "write" for event in run.memory_events)
    if case.status is not Status.FAIL or writes or not was_cut(parent):
        return case
    reason = f"{NOT_IN_TIME}: the parent on the same inputs; without it: {case.reason}"
    return replace(case, status=Status.NOT_VERIFIED, reason=reason)


def is_cut(case: AccuracyCase) -> bool:
    """Whether the time limit left the case open."""
    open_ = case.status is Status.NOT_VERIFIED and case.gating
    return open_ and (case.reason or "").startswith(NOT_IN_TIME)


def cut_note(cases: Sequence[AccuracyCase]) -> list[str]:
    """One note on all cases that the time limit left open, with what the others came to."""
    cut = [case for case in cases if is_cut(case)]
    if not cut:
        return []
    ended = [case for case in cases if not is_cut(case)]
    passed = sum(case.status is Status.PASS for case in ended)
    listed = "; ".join(f"{case.config}, {case.distribution} inputs" for case in cut[:LISTED])
    more = f"; and {len(cut) - LISTED} more" if len(cut) > LISTED else ""
    return [
        f"{NOT_IN_TIME}: {len(cut)} of {len(cases)} runs ({listed}{more}): {_why(cut[0])}; "
        f"of the {len(ended)} that ended {passed} pass. --time-limit gives more time"
    ]


def _why(case: AccuracyCase) -> str:
    return (case.reason or "").removeprefix(NOT_IN_TIME).removeprefix(": ")
