"""The JSON schema of records: versioned, with origins.

`schema_version` changes when a field changes its meaning or goes away; new fields may come at
any time. Numbers that the compiler gave are under `compiled`; what was measured is under `trial`
and in `bench`. Most models are read straight off the dataclasses of `types` (`from_attributes`).
"""

from __future__ import annotations

from pydantic import Field

from warpwright import __version__
from warpwright.report.cases_text import CaseRecord
from warpwright.report.check_record import GateRecord
from warpwright.report.schema_measured import BurstRecord, MeasuredGpuRecord, TrialRecord
from warpwright.report.schema_parts import (
    SCHEMA_VERSION,
    BeyondRulesRecord,
    ConfigRecord,
    CountsRecord,
    ErrorRecord,
    MoveRecord,
    MovesCountedRecord,
    RecordBase,
    Text,
    ToolchainRecord,
)


class OccupancyRecord(RecordBase):
    blocks_per_sm: int
    warps_per_sm: int
    occupancy_pct: float
    limiters: list[str]


class CompiledRecord(RecordBase):
    """One specialisation class of a config; `error` is set where it did not compile."""

    specialization: str
    registers_per_thread: int | None = None
    local_bytes_per_thread: int | None = None
    shared_bytes: int | None = None
    cubin_sha256: str | None = None
    occupancy: OccupancyRecord | None = None
    unlaunchable: list[str] = Field(default_factory=list)
    facts: dict[str, int | float | str | bool] = Field(default_factory=dict)
    error: str | None = None


class WorkRecord(RecordBase):
    """Work of one launch; null: not known, see `lacks`. Operations are floating-point ones."""

    operations: dict[str, float] | None
    read_bytes: int | None
    written_bytes: int | None
    loaded_bytes: float | None
    loops: int | None
    read: list[str]
    written: list[str]
    lacks: list[str]


class LaunchFloorRecord(RecordBase):
    """Roofline floor of `launches` equal launches, each; a lower bound, predicted."""

    launches: int
    work: WorkRecord
    compute_us: float | None
    memory_us: float | None
    floor_us: float | None
    bound: str | None
    lacks: list[str]


class ConfigStudyRecord(RecordBase):
    """`floor_us`: the least time of all its launches in a forward pass (predicted)."""

    config: ConfigRecord
    activity: Text
    cubin_class: int | None
    launchable: bool
    grid: list[int] | None
    floor_us: float | None
    floors: list[LaunchFloorRecord]
    counts: CountsRecord | None = None
    compiled: list[CompiledRecord]


class ChoiceRecord(RecordBase):
    """What became of one config; `source` is "original" or "proposed".

    `cause`: the id of the cause that led to a proposed one, if any did.
    """

    config: ConfigRecord
    source: str
    kept: bool
    reason: str
    cause: str | None
    compiled: list[CompiledRecord]


class FindingRecord(RecordBase):
    id: str
    subject: str
    text: str
    origin: Text


class EvidenceRecord(RecordBase):
    text: str
    origin: Text


class CauseRecord(RecordBase):
    """Why a kernel may take its time: `score` ranks, `share_pct` bounds what it explains."""

    id: str
    kernel: str
    claim: str
    evidence: list[EvidenceRecord]
    unknown: list[str]
    share_pct: float
    score: float
    moves: list[Text]
    against: list[Text]


class KernelRecord(RecordBase):
    """`floor_us`: of the config that may be active, else of the best that can run (predicted).

    `causes`: the highest score first. `kind`: what it does for the most part, by its text.
    `pruned`: configs that the program's own pruning leaves out; they are not among `configs`.
    """

    kernel: str
    kind: Text | None = None
    autotuned: bool
    active_reason: str
    floor_us: float | None
    causes: list[CauseRecord]
    configs: list[ConfigStudyRecord]
    findings: list[FindingRecord]
    pruned: list[ConfigRecord]


class PlanRecord(RecordBase):
    kernel: str
    left_alone: str | None
    conflicts: list[str]
    choices: list[ChoiceRecord]


class DisagreementRecord(RecordBase):
    field: str
    stated: int | float | str
    ours: int | float | str
    source: str


class GpuRecord(RecordBase):
    name: str
    compute_capability: str
    sm_count: int
    disagreements: list[DisagreementRecord]
    notes: list[str]


class CostRecord(RecordBase):
    flops: int
    read_bytes: int
    written_bytes: int
    compute_class: str


class StudyRecord(RecordBase):
    gpu: GpuRecord
    kernels: list[KernelRecord]
    cost: CostRecord | None
    floor_us: float | None
    floor_bound: str | None
    toolchain: ToolchainRecord | None
    findings: list[FindingRecord]
    unknown: list[str]


class InspectRecord(RecordBase):
    """`inspect --json`."""

    schema_name: str = "warpwright.inspect"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    study: StudyRecord


class AnswerRecord(RecordBase):
    """`answer --json`, and the record beside every answer.

    `moves`: what was done to the program besides choosing configs, in order. `moves_counted`:
    every list of moves that was judged by counts where nothing was measured (predicted).
    `beyond_rules`: what would be much faster if the rules allowed it.
    """

    schema_name: str = "warpwright.answer"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    decision: Text
    reason: str
    measured: bool = False  # whether timings decided
    trial: TrialRecord | None = None
    program: str
    moves: list[MoveRecord] = Field(default_factory=list)
    moves_counted: list[MovesCountedRecord] = Field(default_factory=list)
    beyond_rules: BeyondRulesRecord | None = None
    cases: list[CaseRecord] = Field(default_factory=list)  # the others that it was tried on
    plans: list[PlanRecord]
    conflicts: list[str]
    gate: GateRecord
    study: StudyRecord


class BenchRowRecord(RecordBase):
    label: str
    median_us: float | None
    interval_us: tuple[float, float] | None
    speedup: float | None
    speedup_interval: tuple[float, float] | None
    error: ErrorRecord | None
    error_unknown: str | None
    failed: str | None


class BenchBurstRecord(RecordBase):
    group: int
    round: int
    burst: BurstRecord


class BenchRecord(RecordBase):
    """`bench --json`: measured, every single time with it. `gpu` null: not on a GPU."""

    schema_name: str = "warpwright.bench"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    gpu: MeasuredGpuRecord | None
    rows: list[BenchRowRecord]
    confidence: float
    groups: int
    rounds: int
    seed: int
    notes: list[str]
    bursts: list[BenchBurstRecord]
