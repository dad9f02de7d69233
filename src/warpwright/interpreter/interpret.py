"""The parent's side of `child_interpret`: a program's outputs without a GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from warpwright.errors import SandboxError
from warpwright.interpreter.reference.reference import ReferenceRun
from warpwright.program.branch_sites import Outcome, read_outcomes
from warpwright.sandbox.arrays import Array, read_array
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.kinds import INTERPRETED
from warpwright.store.cache import ResultCache, run_cached
from warpwright.types.config import Config
from warpwright.types.job import Job, JobLimits, JobOutcome
from warpwright.types.verdict import RACE

START_UP_S = 30.0  # allowance for importing torch and Triton, and for constructors
RUN_DEADLINE_S = 60.0  # of processor time, so that a busy machine ends no run
BUDGET_S = 120.0  # of processor time; after this no further run of a child begins
WALL_FACTOR = 3.0  # by which the clock may run ahead; the child's own is the same
MEMORY_BYTES = 4 * 1024**3


class RunOutcome(StrEnum):
    """How one run of a program in the interpreter ended."""

    OK = "ok"
    FAILED = "failed"  # the program raised, or its process died
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"  # the interpreter cannot do it; says nothing of the program
    SKIPPED = "skipped"  # the case does not apply to this program


@dataclass(frozen=True, slots=True)
class InterpretRun:
    """What to run: a case of the reference, with these configs pinned, kernel → config.

    A kernel that is autotuned and has no pin runs its first config.
    """

    case: str
    pins: Mapping[str, Config] = field(default_factory=dict)
    label: str = "as launched"


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """Accesses outside of all tensors of a launch (`access`: `read` or `write`), or a race.

    `text` is the source line that made them.
    """

    kernel: str
    line: int | None
    access: str
    count: int
    text: str = ""

    def __str__(self) -> str:
        where = f", line {self.line}" if self.line is not None else ""
        if self.access == RACE:
            return (
                f"two programs of {self.kernel} store different values to one place without atomic "
                f"operations, {self.count} times{where}"
            )
        return f"{self.count} {self.access}s out of bounds in {self.kernel}{where}"


@dataclass(frozen=True, slots=True)
class Interpretation:
    """What came of one run. `outputs` is None unless it ended well.

    `launches`: kernel → launches with a grid that is not empty. `parameters` says how the
    program got its parameters, where not by name; `parameters_matched` is False when the
    reference's could not be given to it. `cpu_s`: processor time of the run, None where its child
    told none; `block_cpu_s`: that of the block in which it was stopped, None where it was in none.
    `undefined_lines`: lines of loads that left lanes undefined (masked off, without `other`).
    `ways`: the outcomes of the program's branches, at its import and in this run.
    """

    run: InterpretRun
    outcome: RunOutcome
    reason: str | None = None
    outputs: tuple[Array, ...] | None = None
    launches: Mapping[str, int] = field(default_factory=dict)
    changed_inputs: tuple[int, ...] = ()
    memory_events: tuple[MemoryEvent, ...] = ()
    parameters: str = ""
    parameters_matched: bool = True
    wall_s: float = 0.0
    cpu_s: float | None = None
    block_cpu_s: float | None = None
    undefined_lines: tuple[int, ...] = ()
    ways: frozenset[Outcome] = frozenset()


def interpret(
    source: str,
    reference: ReferenceRun,
    runs: Sequence[InterpretRun],
    *,
    compute_capability: int = 89,
    facts: Mapping[str, Any] | None = None,
    cache: ResultCache | None = None,
    deadline_s: float = RUN_DEADLINE_S,
    memory_bytes: int = MEMORY_BYTES,
    spoil_undefined: bool = True,
    deadline: Deadline | None = None,
) -> tuple[Interpretation, ...]:
    """Run a program's `ModelNew` on the reference's inputs; one result a run, in order.

    All runs share one child. When it dies or hangs, each is repeated in a child of its own, so
    that one bad config costs no other its result. A child that has taken `BUDGET_S` begins no
    further run, nor does one that has reached the `deadline`; the rest are timeouts.
    `compute_capability` as 89 for sm_89; `facts`: what the host code may ask of the GPU, by names
    of `cudaDeviceProp`. `spoil_undefined`: lanes that a load leaves undefined hold NaN (or a large
    odd number), else 0.
    """
    if not runs:
        return ()
    settings = _Settings(source, reference, compute_capability, facts or {}, deadline_s,
                         spoil_undefined, deadline)  # fmt: skip
    budget = JobLimits(START_UP_S + WALL_FACTOR * deadline_s * len(runs), memory_bytes)
    results = _in_one_child(settings, runs, budget, cache)
    if results is not None:
        return results
    alone = JobLimits(START_UP_S + WALL_FACTOR * deadline_s, memory_bytes)
    return tuple(_alone(settings, run, alone, cache) for run in runs)


@dataclass(frozen=True, slots=True)
class _Settings:
    source: str
    reference: ReferenceRun
    compute_capability: int
    facts: Mapping[str, Any]
    deadline_s: float
    spoil_undefined: bool
    deadline: Deadline | None

    def job(self, runs: Sequence[InterpretRun], limits: JobLimits, output: Path) -> Job:
        cases = {case.name: dict(case.entry) for case in self.reference.cases}
        wanted = {run.case: cases[run.case] for run in runs}
        calls = [*wanted.values(), *(e["first"] for e in wanted.values() if "first" in e)]
        states = {
            entry["state"]: self.reference.states[entry["state"]]
            for entry in calls
            if "state" in entry
        }
        entries = [item for entry in calls for item in entry["inputs"]]
        entries += [item for manifest in states.values() for item in manifest]
        payload = {
            "source": self.source,
            "init": self.reference.init,
            "seed": self.reference.seed,
            "evaluation_mode": self.reference.evaluation_mode,
            "cases": wanted,
            "states": states,
            "runs": [{"case": run.case, "pins": encode_pins(run.pins)} for run in runs],
            "deadline_s": self.deadline_s,
            "budget_s": BUDGET_S,
            "facts": dict(self.facts),
            "compute_capability": self.compute_capability,
            "spoil_undefined": self.spoil_undefined,
        }
        return Job(
            "interpret",
            payload,
            limits,
            files={entry["file"]: self.reference.directory / entry["file"] for entry in entries},
            environment=INTERPRETED,
            keep_output=output,
        )


def encode_pins(pins: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    return {
        kernel: {
            "meta": config.meta_dict,
            "num_warps": config.num_warps,
            "num_stages": config.num_stages,
        }
        for kernel, config in pins.items()
    }


def _in_one_child(
    settings: _Settings,
    runs: Sequence[InterpretRun],
    limits: JobLimits,
    cache: ResultCache | None,
) -> tuple[Interpretation, ...] | None:
    """Results of a child that did all runs, or None when a single run must be found out."""
    with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
        output = Path(name)
        job = settings.job(runs, limits, output)
        result = run_cached(job, cache, keep=_no_timeout, deadline=settings.deadline)
        if result.value is not None:
            return _decode_all(runs, result.value, output, settings.source)
        if len(runs) > 1 and result.outcome not in (JobOutcome.FAILED, JobOutcome.EXITED):
            return None
    failure = _from_job(runs[0], result.outcome, result.reason)
    return tuple(replace(failure, run=run) for run in runs)


def _no_timeout(value: Mapping[str, Any]) -> bool:
    """Whether a result is worth keeping: what took too long by the clock may have had to wait."""
    runs = value.get("runs")
    return isinstance(runs, list) and all(run.get("outcome") != "timeout" for run in runs)


def _alone(
    settings: _Settings, run: InterpretRun, limits: JobLimits, cache: ResultCache | None
) -> Interpretation:
    results = _in_one_child(settings, [run], limits, cache)
    assert results is not None  # one run always has a result
    return results[0]


def _from_job(run: InterpretRun, outcome: JobOutcome, reason: str | None) -> Interpretation:
    kind = RunOutcome.TIMEOUT if outcome is JobOutcome.TIMEOUT else RunOutcome.FAILED
    return Interpretation(run, kind, reason or str(outcome))


def _decode_all(
    runs: Sequence[InterpretRun], value: Mapping[str, Any], directory: Path, source: str
) -> tuple[Interpretation, ...]:
    entries = value.get("runs")
    if not isinstance(entries, list) or len(entries) != len(runs):
        raise SandboxError("the interpreting child's result does not list its runs")
    at_import = value.get("ways", ())
    return tuple(
        _decode(run, entry, directory, source, at_import)
        for run, entry in zip(runs, entries, strict=True)
    )


def memory_event(event: Mapping[str, Any], source: str) -> MemoryEvent:
    lines = source.splitlines()
    line = event["line"]
    known = isinstance(line, int) and 0 < line <= len(lines)
    return MemoryEvent(**event, text=lines[line - 1].strip() if known else "")


def _decode(
    run: InterpretRun,
    entry: Mapping[str, Any],
    directory: Path,
    source: str,
    at_import: Sequence[Any],
) -> Interpretation:
    try:
        outcome = RunOutcome(entry["outcome"])
        outputs = None
        if outcome is RunOutcome.OK:
            outputs = tuple(read_array(directory, item) for item in entry["outputs"])
    except (KeyError, ValueError, SandboxError) as error:
        return Interpretation(run, RunOutcome.FAILED, f"its outputs cannot be read: {error}")
    state = entry.get("state", {})
    return Interpretation(
        run=run,
        outcome=outcome,
        reason=entry["reason"],
        outputs=outputs,
        launches=entry["launches"],
        changed_inputs=tuple(entry.get("changed_inputs", ())),
        memory_events=tuple(memory_event(event, source) for event in entry["memory_events"]),
        parameters=state.get("note", ""),
        parameters_matched=state.get("matched", True),
        wall_s=entry["wall_s"],
        cpu_s=entry.get("cpu_s"),
        block_cpu_s=entry.get("block_cpu_s"),
        undefined_lines=tuple(entry.get("undefined_lines", ())),
        ways=read_outcomes([*entry.get("ways", ()), *at_import]),
    )
