"""Jobs: every execution of foreign code is one, described here, run by `sandbox`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class JobOutcome(StrEnum):
    """How a job ended. Only OK carries a result."""

    OK = "ok"
    FAILED = "failed"  # the foreign code raised
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    CRASHED = "crashed"  # a signal: segfault, abort
    EXITED = "exited"  # it called exit, or ended without a result
    OUTPUT_LIMIT = "too much output"


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Budgets of one job. Wall-clock seconds; bytes over the whole process tree."""

    deadline_s: float = 60.0
    memory_bytes: int = 4 * 1024**3
    output_bytes: int = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Job:
    """One execution: its kind (`sandbox.kinds.JOBS`), its JSON payload, files, limits.

    `files` are linked or copied into `in/` by name; what the child leaves in `out/` is moved
    to `keep_output` if that is given. `launcher` is the command line of a trusted tool that
    starts the child as its own child process and watches it: Nsight Compute.
    """

    kind: str
    payload: Mapping[str, Any]
    limits: JobLimits = field(default_factory=JobLimits)
    files: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    keep_output: Path | None = None
    launcher: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of a job: `value` is plain JSON data, None unless `outcome` is OK.

    `reason` is one line for a person; `detail` the tail of what the child printed.
    """

    outcome: JobOutcome
    value: Mapping[str, Any] | None = None
    reason: str | None = None
    detail: str = ""
    wall_s: float = 0.0
    peak_memory_bytes: int | None = None
    from_cache: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome is JobOutcome.OK
