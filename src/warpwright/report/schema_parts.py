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
