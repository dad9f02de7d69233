"""Programs of one problem on the device: full-size accuracy, and bursts of timed calls.

Joins workers, judge and gate. What to run when, and what follows from it, is not decided here.
"""

from __future__ import annotations

import math
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.gate.accuracy import conclude
from warpwright.gate.measured import is_wrong, judge_measured
from warpwright.sandbox.conditions import ConditionsReader
from warpwright.sandbox.judge import Judge, failed_check
from warpwright.sandbox.worker import Program, Worker, cache_directory
from warpwright.sandbox.worker_pool import WorkerPool, split_cores
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.config import Config
from warpwright.types.measurement import Burst, MeasuredGpu
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem
from warpwright.types.verdict import AccuracyCase, CheckResult, Status
from warpwright.types.worker import Answer, CandidateFailed, Done, WorkerDied

CASES = ("problem", "normal", "wide", "outliers", "nonfinite")
PERTURBED = "perturbed state"
SMALLER_BATCH = "smaller batch"
CALL_S = 60.0
FIRST_CALL_S = 300.0  # of what may not have been compiled ahead: the parent; another batch
# Bytes an element, of a kind of dtype that eager PyTorch gives; enough to poison the memory.
ELEMENT_BYTES = {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1}

Failure = CandidateFailed | WorkerDied


@dataclass(frozen=True, slots=True)
class Checked:
    """Accuracy of one program at full size. `failure`: what ended it early, if anything did."""

    result: CheckResult
    cases: tuple[AccuracyCase, ...] = ()
    failure: Failure | None = None


@dataclass
class Bench:
    """What measuring one problem needs: judge, workers, references, the parent's outputs.

    `references` and `parent_runs` are filled by `open`; seeds are secret and stand in the specs.
    `parent_pins`: where the parent's tuner takes a config whose output is wrong, configs of its
    own that are right; the parent is judged with them then, and timed as it is.
    """

    problem: Problem
    parent: str
    required_kernels: tuple[str, ...]
    device: str
    judge: Judge
    pool: WorkerPool
    conditions: ConditionsReader
    caches: Path
    seed: int
    references: list[ReferenceNumbers] = field(default_factory=list)
    parent_runs: list[CheckNumbers] = field(default_factory=list)
    gpu: MeasuredGpu | None = None
    tell: Listener = silent
    parent_pins: Mapping[str, Config] = field(default_factory=dict)
    _order: int = 0
    _kept: CaseSpec | None = None

    def open(
        self,
        ahead: Callable[[], object] | None = None,
        own_pins: Sequence[Mapping[str, Config]] = (),
    ) -> Failure | None:
        """Load the problem, compute the references, run the parent. What failed, or None.

        `ahead` runs as soon as programs can be made, beside the references: to compile them
        several at a time.
        `own_pins`: the parent's own configs, one by one.
        """
        loaded = self.judge.load(self.problem, seed=self.seed)
        if not isinstance(loaded, Done):
            return loaded
        with ThreadPoolExecutor(max_workers=1) as beside:
            compiling = None if ahead is None else beside.submit(ahead)
            died = self._references()
            if compiling is not None:
                compiling.result()
        if died is not None:
            return died
        self.tell("measure", "the parent at full size")
        worker = self.pool.take()
        try:
            ready = worker.ready()
            if not isinstance(ready, Done):
                return ready
            gpu = worker.gpu()
            self.conditions.uuid = None if gpu is None else gpu.uuid
            self.gpu = None if gpu is None else self.conditions.complete(gpu)
            self.parent_runs, failure = self._runs(worker, self.program(self.parent), True)
            if failure is None:
                self._settle_on_a_right_config(worker, own_pins)
            failed_at = self.parent_runs[-1].case if failure and self.parent_runs else None
            self._drop_a_batch_that_the_parent_does_not_serve()
            return None if failed_at == SMALLER_BATCH else failure
        finally:
            self.pool.give_back(worker)

    def _references(self) -> WorkerDied | None:
        self.tell("measure", "the float64 reference at full size, on each kind of data")
        died = self._prepare([CaseSpec(name, _secret()) for name in CASES])
        more = [CaseSpec(PERTURBED, _secret(), state="perturbed"), *_smaller(self.references)]
        return died or self._prepare(more)

    def _prepare(self, specs: Sequence[CaseSpec]) -> WorkerDied | None:
        """Compute the references. A case in which the problem itself fails is left out."""
        for spec in specs:
            reference = self.judge.prepare(spec)
            if isinstance(reference, WorkerDied):
                return reference
            if isinstance(reference, ReferenceNumbers):
                self.references.append(reference)
        return None

    def _settle_on_a_right_config(
        self, worker: Worker, own_pins: Sequence[Mapping[str, Config]]
    ) -> None:
        """Where the parent's tuner took a config that is wrong, judge by one that is right.

        Else the wrong output would excuse all that are wrong like it.
        """
        first = next((ref for ref in self.references if ref.name == CASES[0] and ref.outputs), None)
        taken = [run for run in self.parent_runs if run.case == CASES[0]]
        if first is None or not taken or len(own_pins) < 2 or not is_wrong(taken[0], first):
            return
        for pins in own_pins:
            program = self.program(self.parent, pins)
            runs, failure = self._runs(worker, program, False, wanted=CASES[:1])
            if failure is None and runs and not is_wrong(runs[0], first):
                self.parent_runs, _ = self._runs(worker, program, True)
                self.parent_pins = pins
                return
            if not worker.healthy:
                return

    def _drop_a_batch_that_the_parent_does_not_serve(self) -> None:
        """A parent made for its own batch size alone asks no more of a candidate."""
        ours = [reference for reference in self.references if reference.name == SMALLER_BATCH]
        runs = [run for run in self.parent_runs if run.case == SMALLER_BATCH]
        judged = judge_measured(runs, runs, ours, required_kernels=self.required_kernels)
        if any(
            case.status is Status.PASS
            or (case.status is Status.NOT_VERIFIED and case.error is not None)  # no reference
            for case in judged
        ):
            return
        self.references = [ref for ref in self.references if ref.name != SMALLER_BATCH]
        self.parent_runs = [run for run in self.parent_runs if run.case != SMALLER_BATCH]

    def program(self, source: str, pins: Mapping[str, Config] | None = None) -> Program:
        """A program with the problem's parameters and a Triton cache of its own."""
        return Program(
            source,
            self.problem,
            self.seed,
            pins=pins or {},
            states=self.judge.states,
            cache_dir=cache_directory(self.caches, source),
        )

    def check(
        self,
        worker: Worker,
        program: Program,
        label: str = "as launched",
        cases: Sequence[str] | None = None,
        required_kernels: Sequence[str] | None = None,
    ) -> Checked:
        """Run a program on every case, or on those named; the gate's verdict from the judge's
        numbers. The program stays loaded. `required_kernels`: those that it must launch, where
        they are not the parent's."""
        runs, failure = self._runs(worker, program, False, label, cases)
        judged = judge_measured(
            runs,
            self.parent_runs,
            self.references,
            required_kernels=self.required_kernels
            if required_kernels is None
            else required_kernels,
        )
        return Checked(conclude(judged), judged, failure)

    def _runs(
        self,
        worker: Worker,
        program: Program,
        is_parent: bool,
        label: str = "as launched",
        wanted: Sequence[str] | None = None,
    ) -> tuple[list[CheckNumbers], Failure | None]:
        loaded = worker.load(program)
        if not isinstance(loaded, Done):
            first = self.references[:1]
            return [failed_check(ref.spec, label, loaded) for ref in first], loaded
        runs: list[CheckNumbers] = []
        for reference in self.references:
            if reference.skipped is not None or (
                wanted is not None and reference.name not in wanted
            ):
                continue
            ran = worker.check(
                reference.spec,
                poison_bytes=_sizes(reference),
                deadline_s=FIRST_CALL_S
                if (is_parent and not runs) or reference.name == SMALLER_BATCH
                else CALL_S,
            )
            if not isinstance(ran, Done):
                runs.append(failed_check(reference.spec, label, ran))
                if isinstance(ran, WorkerDied) or not worker.healthy:
                    return runs, ran
                continue
            numbers = self._measured(worker, reference, ran, label, is_parent)
            if not isinstance(numbers, CheckNumbers):
                return runs, numbers
            runs.append(numbers)
        return runs, None

    def _measured(
        self, worker: Worker, reference: ReferenceNumbers, ran: Done, label: str, is_parent: bool
    ) -> CheckNumbers | Failure:
        numbers = self.judge.measure(
            reference.spec, ran.value, worker.out_dir, label=label, is_parent=is_parent
        )
        worker.forget(ran.value.get("outputs", ()))
        if isinstance(numbers, CandidateFailed):  # files that are not what the worker said
            return failed_check(reference.spec, label, numbers)
        return numbers

    def warm_up(self, worker: Worker, seconds: float) -> Answer:
        """Call what is loaded until the time has passed: tuning, clocks, caches."""
        return worker.time(0, seed=_secret(), warm_up_s=seconds, deadline_s=120.0 + seconds)

    def burst(
        self,
        worker: Worker,
        program: str,
        number: int,
        calls: int,
        *,
        order: int | None = None,
        keep: bool = False,
    ) -> Burst | Failure:
        """One burst of what is loaded. `program` names it, `number` its worker, `order` its place
        in the plan that it is part of (without one, bursts are counted).

        `keep`: the output of one call, chosen at random, can be judged by `check_kept`.
        """
        kept = secrets.randbelow(calls) if keep else None
        answer = worker.time(calls, seed=_secret(), keep=kept)
        if order is None:
            order, self._order = self._order, self._order + 1
        if not isinstance(answer, Done):
            return answer
        times = _times(answer, calls)
        if times is None:
            return CandidateFailed("its times are no times", replace_worker=True)
        self._kept = (
            CaseSpec(**answer.value["kept"]) if answer.value.get("kept") is not None else None
        )
        wall_us = answer.wall_s * 1e6
        return Burst(program, number, order, times, wall_us, self.conditions.read())

    def check_kept(
        self, worker: Worker, label: str, parent: Worker | None = None
    ) -> AccuracyCase | Failure | None:
        """Judge the output that the last burst kept; None when there is nothing to judge.

        `parent`: a worker that holds the parent. It runs on the same inputs, and its error bounds
        the candidate's as it does in `check`; without one the policy alone does.
        """
        if self._kept is None or not self.judge.has_model:
            return None
        kept = worker.kept_output()
        if not isinstance(kept, Done):
            return kept
        reference = self.judge.prepare(self._kept)
        if not isinstance(reference, ReferenceNumbers):
            return reference
        launches = dict.fromkeys(self.required_kernels, 1)  # counted in the checks, not here
        ran = {**kept.value, "launches": launches, "changed_inputs": ()}
        numbers = self._measured(worker, reference, Done(ran), label, False)
        if not isinstance(numbers, CheckNumbers):
            return numbers
        theirs = [] if parent is None else self._parent_on(parent, reference)
        (case,) = judge_measured(
            [numbers], theirs, [reference], required_kernels=self.required_kernels
        )
        return case

    def _parent_on(self, parent: Worker, reference: ReferenceNumbers) -> list[CheckNumbers]:
        """The parent's run on the inputs of a reference; none where it fails there."""
        if not self.parent_pins:
            return self._as_loaded(parent, reference)
        worker = self.pool.take()  # the loaded parent's tuner takes what is wrong
        try:
            worker.load(self.program(self.parent, self.parent_pins))
            return self._as_loaded(worker, reference)
        finally:
            self.pool.give_back(worker)

    def _as_loaded(self, parent: Worker, reference: ReferenceNumbers) -> list[CheckNumbers]:
        ran = parent.check(reference.spec, deadline_s=CALL_S)
        if not isinstance(ran, Done):
            return []
        numbers = self._measured(parent, reference, ran, "parent", False)
        return [numbers] if isinstance(numbers, CheckNumbers) else []


def _smaller(references: Sequence[ReferenceNumbers]) -> list[CaseSpec]:
    """The problem's own values in half its batch, where its inputs share a leading dimension."""
    own = next((reference for reference in references if reference.name == CASES[0]), None)
    shapes = [] if own is None else [tensor.shape for tensor in own.inputs]
    batches = {shape[0] if shape else 0 for shape in shapes}
    if len(batches) != 1 or (batch := batches.pop()) < 2:
        return []
    return [CaseSpec(SMALLER_BATCH, _secret(), batch=batch // 2)]


def _secret() -> int:
    return secrets.randbelow(2**31)


def _sizes(reference: ReferenceNumbers) -> list[int]:
    return [
        ELEMENT_BYTES.get(output.dtype, 4) * math.prod(output.shape) for output in reference.outputs
    ]


def _times(answer: Done, calls: int) -> tuple[float, ...] | None:
    """The times of a burst, when they are as many positive numbers as calls were asked for, and
    no more in sum than the burst took by our own clock."""
    values = answer.value.get("times_us")
    if not isinstance(values, list) or len(values) != calls:
        return None
    if not all(isinstance(value, (int, float)) and value > 0 for value in values):
        return None
    return tuple(map(float, values)) if sum(values) <= answer.wall_s * 1e6 else None


@contextmanager
def open_bench(
    problem: Problem,
    parent: str,
    required_kernels: Sequence[str],
    *,
    device: str = "cuda",
    caches: Path | None = None,
    spares: int = 2,
    tell: Listener = silent,
) -> Iterator[Bench]:
    """Processes for measuring one problem, ended with the block. Call `open` on it first.

    `caches`: where Triton's caches of the programs lie, kept; None: gone with the block.
    """
    split = split_cores()
    with (
        tempfile.TemporaryDirectory(prefix="warpwright-caches-") as temporary,
        Judge(device, cores=split.other) as judge,
        WorkerPool(
            lambda: Worker(device, cores=split.other), spares=spares, cores=split.timing
        ) as pool,
        ConditionsReader() as conditions,
    ):
        place = (caches or Path(temporary)).resolve()
        yield Bench(
            problem,
            parent,
            tuple(required_kernels),
            device,
            judge,
            pool,
            conditions,
            place,
            secrets.randbelow(2**31),
            tell=tell,
        )
