"""Records that several documents share. See `schema`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

Text = Annotated[str, BeforeValidator(str)]
"""Anything with a readable `str`: a config, a limit, an enum."""


class RecordBase(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class ConfigRecord(RecordBase):
    meta: dict[str, Any]
    num_warps: int
    num_stages: int
    num_ctas: int
    maxnreg: int | None


class MoveRecord(RecordBase):
    """One move: which rewrite, on which kernel, with what. Replayed in order they give the program.

    `claim`: what it says of the outputs; the verifier held it to that.
    """

    name: str
    kernel: str
    arguments: Annotated[dict[str, Any], BeforeValidator(dict)]
    claim: Text


class ToolchainRecord(RecordBase):
    triton: str
    ptxas: str | None
    torch: str | None
    python: str | None


class CountsRecord(RecordBase):
    """What the launches of a forward pass execute and touch, predicted; null: see `unknown`."""

    instructions: float | None
    sectors: float | None
    requested_bytes: float | None
    by_kind: dict[str, float]
    unknown: list[str]
    sampled: bool


class ProgramCountsRecord(CountsRecord):
    """The counts of a whole program under one config a kernel, and whose code was counted.

    `occupancy_pct` and `spill_bytes` (a thread) by kernel; `host_operations`: calls of torch.
    """

    occupancy_pct: dict[str, float | None]
    spill_bytes: dict[str, int | None]
    host_operations: dict[str, int]
    toolchain: ToolchainRecord


class MovesCountedRecord(RecordBase):
    """A list of moves that was judged by counts. `after` null: it could not be counted."""

    moves: list[MoveRecord]
    accepted: bool
    reason: str
    origin: Text
    before: ProgramCountsRecord
    after: ProgramCountsRecord | None


class BeyondRulesRecord(RecordBase):
    """Moves that the stage's rules alone forbid and that are much faster: by timings (`gain_pct`,
    screened beside the parent) or by counts. Their program was not run. `broken`: ids of rules."""

    moves: list[MoveRecord]
    broken: list[str]
    gain_pct: float | None
    before: ProgramCountsRecord | None
    after: ProgramCountsRecord | None


class ViolationRecord(RecordBase):
    rule: str
    line: int | None
    expected: str
    found: str


class CheckRecord(RecordBase):
    check: str
    status: Text
    violations: list[ViolationRecord]
    notes: list[str]
    unchecked: list[str]


class LimitsRecord(RecordBase):
    """What was asked of edits beyond the stage, besides being accurate."""

    strict: bool = False
    bit_equal: bool = False


class ErrorRecord(RecordBase):
    relative_l2: float
    relative_max: float


class AccuracyRecord(RecordBase):
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
    less_exact: str | None = None
