"""The JSON schema of records: versioned, with origins.

`schema_version` changes when a field changes its meaning or goes away; new fields may come at
any time. Numbers that the compiler gave are under `compiled`; nothing here is measured unless
it says so. Most models are read straight off the dataclasses of `types` (`from_attributes`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from warpwright import __version__

SCHEMA_VERSION = 1

Text = Annotated[str, BeforeValidator(str)]
"""Anything with a readable `str`: a config, a limit, an enum."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class ConfigRecord(_Record):
    meta: dict[str, Any]
    num_warps: int
    num_stages: int
    num_ctas: int
    maxnreg: int | None


class OccupancyRecord(_Record):
    blocks_per_sm: int
    warps_per_sm: int
    occupancy_pct: float
    limiters: list[str]


class CompiledRecord(_Record):
    """One specialisation class of a config; `error` is set where it did not compile."""

    specialization: str
    registers_per_thread: int | None = None
    local_bytes_per_thread: int | None = None
    shared_bytes: int | None = None
    cubin_sha256: str | None = None
    occupancy: OccupancyRecord | None = None
    unlaunchable: list[str] = []
    facts: dict[str, int | float | str | bool] = {}
    error: str | None = None


class ConfigStudyRecord(_Record):
    config: ConfigRecord
    activity: Text
    cubin_class: int | None
    launchable: bool
    grid: list[int] | None
    compiled: list[CompiledRecord]


class ChoiceRecord(_Record):
    """What became of one config; `source` is "original" or "proposed"."""

    config: ConfigRecord
    source: str
    kept: bool
    reason: str
    compiled: list[CompiledRecord]


class FindingRecord(_Record):
    id: str
    subject: str
    text: str
    origin: Text


class KernelRecord(_Record):
    kernel: str
    autotuned: bool
    active_reason: str
    configs: list[ConfigStudyRecord]
    findings: list[FindingRecord]


class PlanRecord(_Record):
    kernel: str
    left_alone: str | None
    conflicts: list[str]
    choices: list[ChoiceRecord]


class ViolationRecord(_Record):
    rule: str
    line: int | None
    expected: str
    found: str


class CheckRecord(_Record):
    check: str
    status: Text
    violations: list[ViolationRecord]
    notes: list[str]
    unchecked: list[str]


class EditRecord(_Record):
    kind: Text
    subject: str
    line: int | None
    before: str | None
    after: str | None


class ErrorRecord(_Record):
    relative_l2: float
    relative_max: float


class AccuracyRecord(_Record):
    config: str
    inputs: list[str]
    distribution: str
    status: Text
    error: ErrorRecord | None
    bound: ErrorRecord | None
    parent_error: ErrorRecord | None
    policy_error: ErrorRecord | None
    bit_equal_to_parent: bool | None
    launched: list[str]
    reason: str | None


class GateRecord(_Record):
    status: Text
    results: list[CheckRecord]
    edits: list[EditRecord]
    beyond_stage: list[EditRecord]
    accuracy_cases: list[AccuracyRecord]


class DisagreementRecord(_Record):
    field: str
    stated: int | float | str
    ours: int | float | str
    source: str


class GpuRecord(_Record):
    name: str
    compute_capability: str
    sm_count: int
    disagreements: list[DisagreementRecord]


class CostRecord(_Record):
    flops: int
    read_bytes: int
    written_bytes: int
    compute_class: str


class ToolchainRecord(_Record):
    triton: str
    ptxas: str | None
    torch: str | None
    python: str | None


class StudyRecord(_Record):
    gpu: GpuRecord
    kernels: list[KernelRecord]
    cost: CostRecord | None
    floor_us: float | None
    floor_bound: str | None
    toolchain: ToolchainRecord | None
    findings: list[FindingRecord]
    unknown: list[str]


class InspectRecord(_Record):
    """`inspect --json`."""

    schema_name: str = "warpwright.inspect"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    study: StudyRecord


class CheckReportRecord(_Record):
    """`check --json`. `violations` lists all of them, in the order of the checks."""

    schema_name: str = "warpwright.check"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    status: Text
    violations: list[ViolationRecord]
    gate: GateRecord


class AnswerRecord(_Record):
    """`answer --json`, and the record beside every answer."""

    schema_name: str = "warpwright.answer"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    run: str | None
    decision: Text
    reason: str
    measured: bool = False
    program: str
    plans: list[PlanRecord]
    conflicts: list[str]
    gate: GateRecord
    study: StudyRecord


class BenchRowRecord(_Record):
    label: str
    median_us: float | None
    interval_us: tuple[float, float] | None
    speedup: float | None
    speedup_interval: tuple[float, float] | None
    error: ErrorRecord | None
    error_unknown: str | None
    failed: str | None


class MeasuredGpuRecord(_Record):
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


class ConditionsRecord(_Record):
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    power_w: float | None
    throttle_reasons: list[str]


class BurstRecord(_Record):
    program: str
    worker: int
    order: int
    times_us: list[float]
    wall_us: float
    conditions: ConditionsRecord | None


class BenchBurstRecord(_Record):
    group: int
    round: int
    burst: BurstRecord


class BenchRecord(_Record):
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
