"""Records of what was measured on a GPU: the card, bursts of timed calls, the trial of an answer.

Times are in µs of device time a call unless a name says otherwise.
"""

from __future__ import annotations

from pydantic import Field

from warpwright.report.schema_parts import (
    AccuracyRecord,
    CheckRecord,
    ConfigRecord,
    MoveRecord,
    RecordBase,
    Text,
)


class MeasuredGpuRecord(RecordBase):
    """The card and the software; null where the driver does not tell."""

    name: str
    compute_capability: tuple[int, int]
    sm_count: int
    memory_bytes: int
    l2_bytes: int | None
    uuid: str | None
    driver: str | None
    cuda: str | None
    torch: str | None
    triton: str | None


class ConditionsRecord(RecordBase):
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    power_w: float | None
    throttle_reasons: list[str]


class BurstRecord(RecordBase):
    program: str
    worker: int
    order: int
    times_us: list[float]
    wall_us: float
    conditions: ConditionsRecord | None


class ComparisonRecord(RecordBase):
    """A decision. `gain_pct`: parent time over the answer's, minus one, in percent."""

    outcome: Text
    reason: str
    gain_pct: float | None
    interval_pct: tuple[float, float] | None
    confidence: float
    noise_floor_pct: float | None
    threshold_pct: float
    tried: int
    pairs: int
    parent_us: float | None
    candidate_us: float | None


class ConfigTrialRecord(RecordBase):
    """One config alone beside the parent. Screening: it chooses, and decides nothing."""

    kernel: str
    config: ConfigRecord
    source: str  # "original" or "proposed"
    time_us: float | None
    parent_us: float | None
    gain_pct: float | None
    failure: str | None
    accuracy: CheckRecord | None
    bursts: list[BurstRecord]


class MovesTrialRecord(RecordBase):
    """The program of a list of moves beside the parent. Screening: it chooses, decides nothing."""

    moves: list[MoveRecord]
    time_us: float | None
    parent_us: float | None
    gain_pct: float | None
    failure: str | None
    bursts: list[BurstRecord]


class ApartRecord(RecordBase):
    """What device time does not hold. `chosen`: kernel → the config that its tuner took."""

    chosen: dict[str, Text]
    first_call_s: float | None
    host_us: float | None
    do_bench_us: float | None
    cuda_graph: str | None
    torch_compile: str | None
    notes: list[str]


class OtherShapeRecord(RecordBase):
    """Parent and answer on other inputs; medians, no decision."""

    shapes: Text
    parent_us: float | None
    answer_us: float | None
    gain_pct: float | None
    parent_ready_s: float | None
    answer_ready_s: float | None
    failure: str | None


class TrialRecord(RecordBase):
    """All that was measured for an answer. `gpu` null: not on a GPU."""

    gpu: MeasuredGpuRecord | None
    budget: str
    resumed: bool
    failure: str | None
    repaired: str | None
    comparison: ComparisonRecord | None
    floor_us: float | None
    light: str | None
    accuracy: CheckRecord | None
    cases: list[AccuracyRecord]
    parent: ApartRecord | None
    answer: ApartRecord | None
    moves: list[MovesTrialRecord] = Field(default_factory=list)
    other_shapes: list[OtherShapeRecord] = Field(default_factory=list)
    configs: list[ConfigTrialRecord]
    bursts: list[BurstRecord]
