"""What `check` writes: the record of a verdict, and its lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from warpwright import __version__
from warpwright.report.cases_text import CaseRecord, case_records
from warpwright.report.schema_parts import (
    SCHEMA_VERSION,
    AccuracyRecord,
    CheckRecord,
    LimitsRecord,
    RecordBase,
    Text,
    ViolationRecord,
)
from warpwright.types.input_cases import CaseJudged
from warpwright.types.verdict import Status, Verdict


class EditRecord(RecordBase):
    kind: Text
    subject: str
    line: int | None
    before: str | None
    after: str | None


class GateRecord(RecordBase):
    status: Text
    results: list[CheckRecord]
    edits: list[EditRecord]
    beyond_stage: list[EditRecord]
    accuracy_cases: list[AccuracyRecord]
    limits: LimitsRecord = LimitsRecord()


class CheckReportRecord(RecordBase):
    """`check --json`. `violations` lists all of them, in the order of the checks; `cases`: what the
    reply came to on the other cases of a cases file, which `status` counts too."""

    schema_name: str = "warpwright.check"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    status: Text
    violations: list[ViolationRecord]
    gate: GateRecord
    cases: list[CaseRecord] = Field(default_factory=list)


def status_of(gate: Verdict, cases: Sequence[CaseJudged]) -> Status:
    """The worst of all: a failure, then what is not verified."""
    found = {gate.status, *(case.status for case in cases)}
    return next((s for s in (Status.FAIL, Status.NOT_VERIFIED) if s in found), Status.PASS)


def check_record(
    gate: Verdict, run: str | None = None, cases: Sequence[CaseJudged] = ()
) -> CheckReportRecord:
    return CheckReportRecord(
        run=run,
        status=status_of(gate, cases),
        cases=case_records(cases),
        violations=[ViolationRecord.model_validate(v) for v in gate.violations],
        gate=GateRecord.model_validate(gate),
    )


def gate_lines(gate: Verdict) -> Iterator[str]:
    """The verifier's verdict for a person: one line a check, violations and notes below it."""
    broken = len(gate.violations)
    verdict = {
        Status.PASS: "pass: every check was made and nothing is broken",
        Status.FAIL: f"fail: {broken} violation{'s' if broken != 1 else ''}",
        Status.NOT_VERIFIED: "nothing is broken, but not everything could be verified",
    }[gate.status]
    yield verdict
    for result in gate.results:
        yield f"  {result.check}: {result.status}"
        yield from (f"    {violation}" for violation in result.violations)
        yield from (f"    note: {note}" for note in result.notes)
        yield from (f"    not checked by a machine: {text}" for text in result.unchecked)
    if gate.beyond_stage:
        yield "  edits that the rules neither ask for nor forbid:"
        listed = dict.fromkeys(f"{edit.kind} in {edit.subject}" for edit in gate.beyond_stage)
        yield from (f"    {what}" for what in listed)
