"""The record of a walk: every stage with its own record, and the whole way judged at its end."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from warpwright import __version__
from warpwright.report.cases_text import CaseRecord, case_records
from warpwright.report.check_record import GateRecord
from warpwright.report.optimization_record import OptimizationRecord, optimization_record
from warpwright.report.record import answer_record, program_counts_record, trial_record
from warpwright.report.schema import AnswerRecord
from warpwright.report.schema_measured import ComparisonRecord, TrialRecord
from warpwright.report.schema_parts import (
    SCHEMA_VERSION,
    MoveRecord,
    ProgramCountsRecord,
    RecordBase,
    Text,
)
from warpwright.types.input_cases import CaseJudged
from warpwright.types.walk import ConditionReading, Gain, ReplyJudged, StageWalk, WalkStep


class GainRecord(RecordBase):
    """How much a program gains on the one before it. `origin`: "measured" (`comparison`),
    "predicted" (`before`, `after`), or null, and `unknown` may say why."""

    origin: Text | None
    comparison: ComparisonRecord | None
    before: ProgramCountsRecord | None
    after: ProgramCountsRecord | None
    unknown: str | None


class ConditionRecord(RecordBase):
    """A condition under which the stage is skipped. `holds` null: the metric is not known."""

    metric: str
    comparison: str | None
    target: float | None
    value: float | None
    holds: bool | None


class ReplyRecord(RecordBase):
    """What became of somebody's reply to the stage's request."""

    taken: bool
    reason: str
    gain: GainRecord
    gate: GateRecord | None


class StageRecord(RecordBase):
    """One stage. `outcome`: "changed", "kept", "skipped" or "not reached".

    `profile_origin`: "measured" here, "stated" by the user, null: none, for `profile_missing`.
    `in_time` false: the time limit left some of its work undone. `seconds`: wall clock. `program`
    is the stage's result, also where it is the one that it began with.
    """

    number: int | None
    stage: str
    outcome: Text
    reason: str
    in_time: bool
    seconds: float
    moves: list[MoveRecord]
    gain: GainRecord
    profile_origin: Text | None
    profile_missing: str | None
    skip_conditions: list[ConditionRecord]
    reply: ReplyRecord | None
    program: str
    answer: AnswerRecord | None
    algorithm: OptimizationRecord | None
    trial: TrialRecord | None


class WalkRecord(RecordBase):
    """`optimize PROGRAM --json`, and the record beside the program.

    `gain` is that of `last`, the last stage's program, beside `first`, and `trial` the timings that
    say so; `gate` judges the way from one to the other. `program` is what is handed out.
    """

    schema_name: str = "warpwright.walk"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    gpu: str
    changed: bool
    reason: str
    measured: bool
    first: str
    last: str
    program: str
    gain: GainRecord
    trial: TrialRecord | None
    gate: GateRecord | None
    stages: list[StageRecord] = Field(default_factory=list)
    cases: list[CaseRecord] = Field(default_factory=list)  # the others that it was tried on


def walk_record(
    walk: StageWalk, run: str | None = None, cases: Sequence[CaseJudged] = ()
) -> WalkRecord:
    """The record of a walk. `run` is its id in the journal; `cases`: those that it was tried on
    besides its own."""
    return WalkRecord(
        cases=case_records(cases),
        run=run,
        gpu=walk.gpu.sheet.name,
        changed=walk.changed,
        reason=walk.reason,
        measured=walk.gain.comparison is not None,
        first=walk.first,
        last=walk.steps[-1].program if walk.steps else walk.first,
        program=walk.program,
        gain=_gain(walk.gain),
        trial=None if walk.trial is None else trial_record(walk.trial),
        gate=None if walk.gate is None else GateRecord.model_validate(walk.gate),
        stages=[_stage(step) for step in walk.steps],
    )


def _stage(step: WalkStep) -> StageRecord:
    return StageRecord(
        number=step.number,
        stage=step.stage,
        outcome=step.outcome,
        reason=step.reason,
        in_time=step.in_time,
        seconds=step.seconds,
        moves=[MoveRecord.model_validate(move) for move in step.moves],
        gain=_gain(step.gain),
        profile_origin=step.profile.origin,
        profile_missing=step.profile.missing,
        skip_conditions=[_condition(reading) for reading in step.skip.conditions],
        reply=None if step.reply is None else _reply(step.reply),
        program=step.program,
        answer=None if step.answer is None else answer_record(step.answer),
        algorithm=None if step.algorithm is None else optimization_record(step.algorithm),
        trial=None if step.trial is None else trial_record(step.trial),
    )


def _gain(gain: Gain) -> GainRecord:
    before, after = (None, None) if gain.counts is None else gain.counts
    compared = gain.comparison
    return GainRecord(
        origin=gain.origin,
        comparison=None if compared is None else ComparisonRecord.model_validate(compared),
        before=None if before is None else program_counts_record(before),
        after=None if after is None else program_counts_record(after),
        unknown=gain.unknown,
    )


def _condition(reading: ConditionReading) -> ConditionRecord:
    target = reading.condition
    return ConditionRecord(
        metric=target.metric,
        comparison=target.comparison,
        target=target.target,
        value=reading.value,
        holds=reading.holds,
    )


def _reply(reply: ReplyJudged) -> ReplyRecord:
    return ReplyRecord(
        taken=reply.taken,
        reason=reply.reason,
        gain=_gain(reply.gain),
        gate=None if reply.gate is None else GateRecord.model_validate(reply.gate),
    )
