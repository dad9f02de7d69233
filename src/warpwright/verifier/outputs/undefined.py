"""Lanes that a load masks off without saying what they hold: anything may be there on a GPU."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.outputs.comparison import all_bits_equal
from warpwright.verifier.outputs.precision import TensorLike


class SpoiledRun(Protocol):
    """One run of a program (`sandbox.interpret.Interpretation`)."""

    @property
    def run(self) -> Any: ...  # has `case`
    @property
    def outputs(self) -> Sequence[TensorLike] | None: ...
    @property
    def undefined_lines(self) -> Sequence[int]: ...


def depends_on_undefined(spoiled: Sequence[SpoiledRun], zeros: Sequence[SpoiledRun]) -> bool:
    """Whether outputs differ between runs whose undefined lanes hold NaN and those with zeros."""
    by_case = {run.run.case: run for run in spoiled}
    for run in zeros:
        other = by_case.get(run.run.case)
        if other is None or run.outputs is None:
            continue
        if other.outputs is None or not all_bits_equal(other.outputs, run.outputs):
            return True
    return False


def undefined_notes(result: CheckResult, runs: Sequence[SpoiledRun]) -> tuple[str, ...]:
    """Where a program that failed loads lanes that are left undefined: a likely cause."""
    if result.status is not Status.FAIL or not (lines := _lines(runs)):
        return ()
    return (f"{lines}: a load masks lanes off without `other`; on a GPU they hold anything, "
            "here NaN (a large odd number for integers)",)  # fmt: skip


def inherited(runs: Sequence[SpoiledRun]) -> str:
    """What is said of a parent that uses such lanes: they were zeros for it and its candidate."""
    return (
        f"the parent's output depends on lanes that its loads leave undefined ({_lines(runs)}: "
        "masked off, without `other`); they were taken as 0"
    )


def _lines(runs: Sequence[SpoiledRun]) -> str:
    lines: Collection[int] = sorted({line for run in runs for line in run.undefined_lines})
    return ("line " if len(lines) == 1 else "lines ") + ", ".join(map(str, lines)) if lines else ""
