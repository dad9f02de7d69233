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


class WorkRecord(_Record):
    """Work of one launch; null: not known, see `lacks`. Operations are floating-point ones."""

    operations: dict[str, float] | None
    read_bytes: int | None
    written_bytes: int | None
    loaded_bytes: float | None
    loops: int | None
    read: list[str]
    written: list[str]
    lacks: list[str]


class LaunchFloorRecord(_Record):
    """Roofline floor of `launches` equal launches, each; a lower bound, predicted."""

    launches: int
    work: WorkRecord
    compute_us: float | None
    memory_us: float | None
    floor_us: float | None
    bound: str | None
    lacks: list[str]


class ConfigStudyRecord(_Record):
    """`floor_us`: the least time of all its launches in a forward pass (predicted)."""

    config: ConfigRecord
    activity: Text
    cubin_class: int | None
    launchable: bool
    grid: list[int] | None
    floor_us: float | None
    floors: list[LaunchFloorRecord]
    compiled: list[CompiledRecord]


class ChoiceRecord(_Record):
    """What became of one config; `source` is "original" or "proposed".

    `cause`: the id of the cause that led to a proposed one, if any did.
    """

    config: ConfigRecord
    source: str
    kept: bool
    reason: str
    cause: str | None
    compiled: list[CompiledRecord]


class FindingRecord(_Record):
    id: str
    subject: str
    text: str
    origin: Text


class EvidenceRecord(_Record):
    text: str
    origin: Text


class CauseRecord(_Record):
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


class KernelRecord(_Record):
    """`floor_us`: of the config that may be active, else of the best that can run (predicted).

    `causes`: the highest score first.
    """

    kernel: str
    autotuned: bool
    active_reason: str
    floor_us: float | None
    causes: list[CauseRecord]
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
