"""What an answer came to on the other cases, in lines and as a record."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.report.schema_measured import ComparisonRecord
from warpwright.report.schema_parts import RecordBase, Text
from warpwright.report.trial_text import gain_text
from warpwright.types.input_cases import CaseJudged


class CaseRecord(RecordBase):
    """One more case. `status`: the verifier's there; `comparison`: timings beside the program that
    was given, null where nothing was timed."""

    name: str
    weight: float
    status: Text
    reason: str | None
    comparison: ComparisonRecord | None
    untimed: str | None


def case_records(cases: Sequence[CaseJudged]) -> list[CaseRecord]:
    return [CaseRecord.model_validate(case) for case in cases]


def case_lines(cases: Sequence[CaseJudged]) -> list[str]:
    """A line a case: verdict, and gain where it was timed."""
    lines = []
    for case in cases:
        line = f"case {case.name} (weight {case.weight:g}): {case.status}"
        if case.comparison is not None:
            line += f", measured: {gain_text(case.comparison)}"
        elif case.untimed is not None:
            line += f", not timed: {case.untimed}"
        if case.reason is not None:
            line += f"; {case.reason}"
        lines.append(line)
    return lines
