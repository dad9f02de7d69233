"""Programs against each other and against PyTorch: drives their processes, makes the rows."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from warpwright.bench.device.conditions import ConditionsReader
from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import EagerVariant, Program, States, Worker
from warpwright.bench.device.worker_pool import split_cores
from warpwright.bench.statistics.rows import CONFIDENCE, bench_rows
from warpwright.bench.statistics.schedule import PlannedBurst, Seat, interleave
from warpwright.errors import InputError, MissingToolError
from warpwright.gpus.driver import device_facts
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.bench import BenchBurst, BenchResult
from warpwright.types.measurement import Burst, MeasuredGpu
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem
from warpwright.types.verdict import ErrorMeasure
from warpwright.types.worker_reply import Answer, CandidateFailed, Done, WorkerDied
from warpwright.verifier.outputs.compare_outputs import WRONG_L2

BASELINES = (
    EagerVariant(),
    EagerVariant(cudnn_benchmark=True),
    EagerVariant(channels_last=True),
    EagerVariant(channels_last=True, cudnn_benchmark=True),
    EagerVariant(compile="max-autotune"),
)
"""How PyTorch itself may run the problem. In channels_last, inputs come in that layout for free."""
EFFORTS = {"quick": (2, 4), "normal": (3, 8), "thorough": (6, 16)}
"""Groups of new processes, and rounds in each, by how much is timed."""
FIRST_CALLS = 3
COMPILE_S = 600.0
BURST_S = 120.0


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How much is timed. Each group has new processes for all contenders; rounds are a group's.

    A burst takes about `burst_us` of device time, and has at least `min_calls` calls.
    """

    groups: int = 3
    rounds: int = 8
    burst_us: float = 20_000.0
    min_calls: int = 3
    max_calls: int = 50
    warm_up_s: float = 0.2
    baselines: tuple[EagerVariant, ...] = BASELINES

    def __post_init__(self) -> None:
        if self.groups < 1 or self.rounds < 1:
            raise InputError(
                "nothing to time",
                expected="one group and one round at least",
                hint="leave both out",
            )

    def calls(self, call_us: float) -> int:
        return min(self.max_calls, max(self.min_calls, math.ceil(self.burst_us / call_us)))


@dataclass(frozen=True, slots=True)
class _Contender:
    label: str
    source: str | None = None
    variant: EagerVariant | None = None


def bench(
    programs: Sequence[tuple[str, str]],
    problem: Problem,
    *,
    plan: BenchPlan | None = None,
    device: str = "cuda",
    listener: Listener = silent,
) -> BenchResult:
    """Time programs (name, source) against each other and against the plan's baselines.

    Raises `MissingToolError` where no worker starts on the device. A contender that fails has a
    row that says how. On the "cpu" device Triton's interpreter runs the kernels: for tests.
    """
    plan = plan or BenchPlan()
    contenders = _contenders(programs, plan, problem)
    with _Run(problem, device, plan, listener) as run:
        for group in range(plan.groups):
            run.group(group, contenders)
        return run.result(contenders)


def _contenders(
    programs: Sequence[tuple[str, str]], plan: BenchPlan, problem: Problem
) -> list[_Contender]:
    found: dict[str, _Contender] = {}
    for name, source in programs:
        copies = sum(label == name or label.startswith(f"{name} (") for label in found)
        label = f"{name} ({copies + 1})" if copies else name
        found[label] = _Contender(label, source)
    baselines = plan.baselines if problem.has_reference else ()
    return [*found.values(), *(_Contender(str(v), variant=v) for v in baselines)]


class _Run:
    """One bench: its reference process, and what was found so far."""

    def __init__(self, problem: Problem, device: str, plan: BenchPlan, listener: Listener) -> None:
        self._problem, self._device, self._plan, self._tell = problem, device, plan, listener
        self._seed = random.SystemRandom().randrange(2**31)
        self._random = random.SystemRandom()
        self._cores = split_cores().timing
        self._open = contextlib.ExitStack()
        self._states = States()
        self._gpu: MeasuredGpu | None = None
        self._failures: dict[str, str] = {}
        self._errors: dict[str, ErrorMeasure | str] = {}
        self._bursts: list[BenchBurst] = []
        self._conditions: ConditionsReader | None = None

    def __enter__(self) -> _Run:
        with contextlib.ExitStack() as opened:
            self._probe()
            self._reference_process = opened.enter_context(ReferenceProcess(self._device))
            _demand(self._reference_process.load(self._problem, seed=self._seed), "the problem")
            self._states = self._reference_process.states
            if self._gpu is not None:
                reader = opened.enter_context(ConditionsReader(self._gpu.uuid))
                self._conditions, self._gpu = reader, reader.complete(self._gpu)
            self._spec = self._reference()
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _probe(self) -> None:
        """Does a worker start at all? Names the card."""
        with Worker(self._device) as worker:
            ready = worker.ready()
            if not isinstance(ready, Done):
                last = (getattr(ready, "detail", "").strip().splitlines() or [ready.reason])[-1]
                raise MissingToolError(
                    "this machine has no NVIDIA GPU to time programs on"
                    if device_facts() is None
                    else f"no worker starts on a GPU of this machine: {last}",
                    hint="`warpwright doctor` says what this machine can do",
                )
            self._gpu = worker.gpu()

    def _reference(self) -> CaseSpec | str:
        """The accuracy case; or why there is none."""
        if not self._problem.has_reference:
            return "the problem has no reference"
        self._tell("reference", "computing the float64 reference")
        found = self._reference_process.prepare(CaseSpec("problem", self._seed))
        if not isinstance(found, ReferenceNumbers):
            return f"no reference: {_why(found)}"
        return found.skipped or found.spec

    def group(self, group: int, contenders: Sequence[_Contender]) -> None:
        """New workers for all that have not failed, a check in the first group, then rounds."""
        with contextlib.ExitStack() as opened:
            workers: dict[Seat, tuple[int, Worker]] = {}
            calls: dict[Seat, int] = {}
            for number, contender in enumerate(contenders):
                if contender.label in self._failures:
                    continue
                name = f"group {group + 1} of {self._plan.groups}: {contender.label}"
                self._tell("load", name)
                worker = opened.enter_context(Worker(self._device, cores=self._cores))
                call_us = self._prepare(worker, contender, check=group == 0)
                if call_us is not None:
                    seat = Seat(group, contender.label)
                    workers[seat] = group * len(contenders) + number, worker
                    calls[seat] = self._plan.calls(call_us)
            shuffled = random.Random(self._random.randrange(2**31))
            first = len(self._bursts)
            for planned in interleave(calls, self._plan.rounds, shuffled, first):
                if planned.seat.program not in self._failures:
                    self._burst(planned, *workers[planned.seat])

    def _prepare(self, worker: Worker, contender: _Contender, *, check: bool) -> float | None:
        """Load, check once, warm up; the time of a call in µs, or None with the failure kept."""
        program = Program(contender.source or "", self._problem, self._seed, states=self._states)
        if contender.variant is None:
            answer = worker.load(program)
        else:
            answer = worker.load_eager(program, contender.variant)
        if isinstance(answer, Done) and check:
            answer = self._check(worker, contender.label)
        if isinstance(answer, Done):
            seed = self._random.randrange(2**31)
            answer = worker.time(
                FIRST_CALLS, seed=seed, warm_up_s=self._plan.warm_up_s, deadline_s=COMPILE_S
            )
        if isinstance(answer, Done):
            return median(map(float, answer.value["times_us"]))
        self._failures[contender.label] = _why(answer)
        return None

    def _check(self, worker: Worker, label: str) -> Answer:
        """Errors against the reference; a program that cannot be checked has failed."""
        if isinstance(self._spec, str):
            self._errors[label] = self._spec
            return Done({})
        ran = worker.check(self._spec, deadline_s=COMPILE_S)
        if not isinstance(ran, Done):
            return ran
        found = self._reference_process.measure(self._spec, ran.value, worker.out_dir, label=label)
        worker.forget(ran.value.get("outputs", ()))
        self._errors[label] = _error_of(found)
        return ran

    def _burst(self, planned: PlannedBurst, number: int, worker: Worker) -> None:
        label = planned.seat.program
        seed = self._random.randrange(2**31)
        answer = worker.time(planned.calls, seed=seed, deadline_s=BURST_S)
        if not isinstance(answer, Done):
            self._failures[label] = _why(answer)
            return
        conditions = None if self._conditions is None else self._conditions.read()
        times_us = tuple(map(float, answer.value["times_us"]))
        burst = Burst(label, number, planned.order, times_us, answer.wall_s * 1e6, conditions)
        self._bursts.append(BenchBurst(planned.seat.group, planned.round, burst))

    def result(self, contenders: Sequence[_Contender]) -> BenchResult:
        labels = [contender.label for contender in contenders]
        rows = []
        for row in bench_rows(labels, self._bursts, self._failures):
            error = self._errors.get(row.label)
            known = error if isinstance(error, ErrorMeasure) else None
            unknown = error if isinstance(error, str) else None
            rows.append(replace(row, error=known, error_unknown=unknown))
        return BenchResult(
            rows=tuple(rows),
            bursts=tuple(self._bursts),
            confidence=CONFIDENCE,
            groups=self._plan.groups,
            rounds=self._plan.rounds,
            seed=self._seed,
            gpu=self._gpu,
            notes=tuple(_notes(self._plan, self._problem)),
        )


def _notes(plan: BenchPlan, problem: Problem) -> list[str]:
    notes = []
    if plan.groups == 1:
        notes.append("one group: the intervals hold nothing of what differs between processes")
    if not problem.has_reference:
        notes.append("the problem has no model of its own: no errors, no baselines")
    elif any(variant.channels_last for variant in plan.baselines):
        notes.append("channels_last: inputs come in that layout, and changing it is not counted")
    return notes


def _error_of(found: CheckNumbers | CandidateFailed | WorkerDied) -> ErrorMeasure | str:
    """The largest error of any output, or why there is none."""
    if not isinstance(found, CheckNumbers):
        return _why(found)
    measured = [output.error for output in found.outputs or ()]
    if found.outcome != "ok" or not measured:
        return found.reason or found.outcome
    errors = [error for error in measured if error is not None]
    if len(errors) < len(measured):
        return "an output has another form than the reference's"
    worst = ErrorMeasure(
        max(error.relative_l2 for error in errors), max(error.relative_max for error in errors)
    )
    misplaced = any(output.nonfinite is not None for output in found.outputs or ())
    if not found.parameters_matched and (misplaced or not worst.relative_l2 <= WRONG_L2):
        return found.parameters  # they may be to blame; what is right had them right
    return "NaN or Inf where the reference has none, or the other way" if misplaced else worst


def _why(answer: Answer) -> str:
    if isinstance(answer, Done):
        return ""
    where = answer.where if isinstance(answer, CandidateFailed) else ""
    return f"{where}: {answer.reason}" if where else answer.reason


def _demand(answer: Answer, what: str) -> Mapping[str, object]:
    """The value of an answer that nothing works without."""
    if isinstance(answer, Done):
        return answer.value
    raise InputError(f"{what} cannot be loaded: {_why(answer)}", hint="run it on its own first")
