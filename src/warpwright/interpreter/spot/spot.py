"""The parent's side of `child_spot`: what some blocks of a program write at full size."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from warpwright.errors import SandboxError
from warpwright.interpreter.interpret import MemoryEvent, encode_pins, memory_event
from warpwright.sandbox import arrays
from warpwright.sandbox.arrays import Array, read_array, read_bits
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.kinds import INTERPRETED
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import problem_payload
from warpwright.types.config import Config
from warpwright.types.job import Job, JobLimits, JobOutcome
from warpwright.types.shapes import Problem

MEMORY_BYTES = 6 * 1024**3
START_UP_S = 40.0  # for torch, Triton, inputs and parameters
SAMPLE_S = 6.0  # of processor time; no further chosen block begins after it
SPARE_S = 3.0  # of processor time, for launches that run whole
RUN_S = 20.0  # of processor time, for everything that the model does
REFERENCE_S = 30.0
SKIPPED = "not verified at full size"


@dataclass(frozen=True, slots=True)
class SpotState:
    """The parameters of the problem's model, as files of `directory`; `entries` None: none."""

    directory: Path
    entries: Sequence[Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class SpotOutput:
    """Some elements of one output: `at` are flat indices in its `shape`, in ascending order.

    `counts`: how many elements each chosen block wrote; empty where all blocks ran.
    """

    values: Array
    at: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenLaunch:
    """A launch as it ran: its grid in three dimensions, and arguments that are numbers."""

    kernel: str
    grid: tuple[int, ...]
    numbers: Mapping[str, int | float | bool]


@dataclass(frozen=True, slots=True)
class SpotRun:
    """What came of a program at full size.

    `outcome`: `ok`, `failed` (the program raised), or why nothing is known: `partial`, `timeout`,
    `unsupported`, `no inputs`. `kernel`: the last launch, where only `ran` of its `of` blocks ran;
    None where every launch ran whole. `mixed`: why values written by single blocks may not be
    final. `digest` tells whether two processes had the same inputs.
    """

    outcome: str
    reason: str | None = None
    outputs: tuple[SpotOutput, ...] = ()
    kernel: str | None = None
    ran: int = 0
    of: int = 0
    mixed: str | None = None
    matched: bool = True
    digest: str = ""
    repeats: bool = False
    memory_events: tuple[MemoryEvent, ...] = ()
    undefined_lines: tuple[int, ...] = ()
    launched: tuple[SeenLaunch, ...] = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """What programs are run on at full size: one problem, one seed, one target."""

    problem: Problem
    seed: int
    compute_capability: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    evaluation_mode: bool = False
    cache: ResultCache | None = None
    deadline: Deadline | None = None

    def _job(self, kind: str, payload: Mapping[str, Any], **more: Any) -> Job:
        common = {
            "problem": problem_payload(self.problem),
            "seed": self.seed,
            "evaluation_mode": self.evaluation_mode,
        }
        return Job(kind, {**common, **payload}, **more)

    def state(self, directory: Path) -> SpotState | str:
        """The parameters of the problem's model, or why there are none to give to programs."""
        if not self.problem.has_reference:
            return SpotState(directory)
        limits = JobLimits(START_UP_S, MEMORY_BYTES)
        job = self._job("spot_reference", {"at": None}, limits=limits, keep_output=directory)
        result = run_cached(job, self.cache, deadline=self.deadline)
        if result.value is None:
            return f"the problem's model at full size: {result.reason or result.outcome}"
        if "failed" in result.value:
            return str(result.value["failed"])
        return SpotState(directory, result.value["state"])

    def run(
        self,
        source: str,
        pins: Mapping[str, Config],
        state: SpotState,
        spoil_undefined: bool = True,
    ) -> SpotRun:
        """Some blocks of `source`, with these configs pinned, kernel → config.

        `spoil_undefined`: lanes that a load leaves undefined hold NaN, else 0.
        """
        payload = {
            "source": source,
            "state": state.entries,
            "pins": encode_pins(pins),
            "compute_capability": self.compute_capability,
            "facts": dict(self.facts),
            "sample_s": SAMPLE_S,
            "spare_s": SPARE_S,
            "run_s": RUN_S,
            "spoil_undefined": spoil_undefined,
        }
        with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
            job = self._job(
                "spot",
                payload,
                limits=JobLimits(START_UP_S + 3 * RUN_S, MEMORY_BYTES),
                files={e["file"]: state.directory / e["file"] for e in state.entries or ()},
                environment=INTERPRETED,
                keep_output=Path(name),
            )
            result = run_cached(job, self.cache, keep=_is_kept, deadline=self.deadline)
            if result.value is None:
                return SpotRun(_without_result(result.outcome), result.reason)
            return _decode(result.value, Path(name), source)

    def reference(self, wanted: Sequence[SpotOutput], digest: str) -> tuple[Array, ...] | str:
        """The reference's values, in float64, where `wanted` has its elements; or why not."""
        with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
            directory, files = Path(name), {}
            for number, output in enumerate(wanted):
                arrays.write_bits(directory, f"at{number}.npy", output.at)
                files[output.values.name] = f"at{number}.npy"
            job = self._job(
                "spot_reference",
                {"at": files},
                limits=JobLimits(REFERENCE_S, MEMORY_BYTES),
                files={file: directory / file for file in files.values()},
                keep_output=directory / "out",
            )
            result = run_cached(job, self.cache, deadline=self.deadline)
            if result.value is None:
                return str(result.reason or result.outcome)
            if result.value["digest"] != digest:
                return "get_inputs gives other values in each process"
            return tuple(read_array(directory / "out", item) for item in result.value["values"])


def _is_kept(value: Mapping[str, Any]) -> bool:
    """What took too long may have had to wait."""
    return value.get("outcome") != "timeout"


def _without_result(outcome: JobOutcome) -> str:
    """A process that ended by itself is the program's doing; one over a limit says nothing."""
    own = outcome in (JobOutcome.FAILED, JobOutcome.EXITED)
    return "unsupported" if own else str(outcome)


def _decode(value: Mapping[str, Any], directory: Path, source: str) -> SpotRun:
    try:
        outputs = tuple(
            SpotOutput(
                read_array(directory, item),
                read_bits(directory, str(item["at"])).astype(np.int64),
                tuple(map(int, item["shape"])),
                tuple(map(int, item["counts"])),
            )
            for item in value["outputs"]
        )
    except (KeyError, ValueError, SandboxError) as error:
        return SpotRun("unsupported", f"its outputs cannot be read: {error}")
    return SpotRun(
        outcome=str(value["outcome"]),
        reason=value["reason"],
        outputs=outputs,
        kernel=value["kernel"],
        ran=int(value["ran"]),
        of=int(value["of"]),
        mixed=value["mixed"],
        matched=bool(value.get("matched", True)),
        digest=str(value["digest"]),
        repeats=bool(value["repeats"]),
        memory_events=tuple(memory_event(event, source) for event in value["memory_events"]),
        undefined_lines=tuple(map(int, value["undefined_lines"])),
        launched=tuple(
            SeenLaunch(str(la["kernel"]), tuple(map(int, la["grid"])), dict(la["numbers"]))
            for la in value["launched"]
        ),
    )
