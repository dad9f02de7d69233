"""The record of `optimize`: what was recognised, each candidate's fate, program and verdict."""

from __future__ import annotations

from warpwright import __version__
from warpwright.operators.conv2d.conv2d_text import describe
from warpwright.report.check_record import GateRecord
from warpwright.report.record import study_record
from warpwright.report.schema import BenchRecord, StudyRecord
from warpwright.report.schema_parts import SCHEMA_VERSION, RecordBase, Text
from warpwright.types.optimization import Optimization, Screened


class LayerRecord(RecordBase):
    """Pairs are (vertical, horizontal), sizes in elements."""

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding_before: tuple[int, int]
    padding_after: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    bias: bool
    dtype: str
    channels_last: bool


class PointwiseRecord(RecordBase):
    function: str
    value: float | None


class TaskRecord(RecordBase):
    """`module`: path of the module that holds the weight; empty for the model itself."""

    layer: LayerRecord
    module: str
    precision: Text
    epilogue: list[PointwiseRecord]


class CandidateRecord(RecordBase):
    """`rank` from 1, null for what is out; `time_us` is of the ranking's origin.

    `floor_us`: roofline floor of its launches (predicted); registers, shared memory and spills
    are the compiler's, the most of any kernel.
    """

    schedule: str
    point: dict[str, int]
    why: str
    rejected: str | None
    rank: int | None
    chosen: bool
    time_us: float | None
    predicted_us: float
    floor_us: float | None
    occupancy_pct: float | None
    spill_bytes: int | None


class OptimizationRecord(RecordBase):
    """`optimize --json`, and the record beside every program that it writes.

    `program` null: no candidate passed the verifier. `ranking_origin`: "predicted" or "measured".
    """

    schema_name: str = "warpwright.optimize"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    gpu: str
    recognized: str
    task: TaskRecord
    from_program: bool
    reason: str
    ranking_origin: Text | None
    ranking_how: str | None
    program: str | None
    beside: BenchRecord | None = None  # measured beside eager PyTorch
    candidates: list[CandidateRecord]
    gate: GateRecord | None
    study: StudyRecord | None


def optimization_record(result: Optimization, run: str | None = None) -> OptimizationRecord:
    """The record of a result. `run` is its id in the journal."""
    return OptimizationRecord(
        run=run,
        gpu=result.gpu.sheet.name,
        recognized=describe(result.task),
        task=TaskRecord.model_validate(result.task),
        from_program=result.parent is not None,
        reason=result.reason,
        ranking_origin=None if result.ranking is None else result.ranking.origin,
        ranking_how=None if result.ranking is None else result.ranking.how,
        program=result.program,
        beside=None if result.beside is None else BenchRecord.model_validate(result.beside),
        candidates=[_candidate(result, entry) for entry in result.screened],
        gate=None if result.gate is None else GateRecord.model_validate(result.gate),
        study=None if result.study is None else study_record(result.study),
    )


def _candidate(result: Optimization, entry: Screened) -> CandidateRecord:
    rank, time_us = place_of(result, entry)
    return CandidateRecord(
        schedule=entry.candidate.schedule,
        point=dict(entry.candidate.point),
        why=entry.candidate.why,
        rejected=entry.rejected,
        rank=rank,
        chosen=result.program is not None and entry.candidate in result.chosen,
        time_us=time_us,
        predicted_us=entry.candidate.predicted_us,
        floor_us=entry.floor_us,
        occupancy_pct=entry.occupancy_pct,
        spill_bytes=entry.spill_bytes,
    )


def place_of(result: Optimization, entry: Screened) -> tuple[int | None, float | None]:
    """A candidate's rank from 1 and the time that it was ranked by; None for what is out."""
    if result.ranking is None:
        return None, None
    for number, (ranked, time_us) in enumerate(
        zip(result.ranking.order, result.ranking.times_us, strict=True), 1
    ):
        if ranked is entry:
            return number, time_us
    return None, None
