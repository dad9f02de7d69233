"""The processes that measure one problem, and bursts of timed calls."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warpwright.bench.device.conditions import ConditionsReader
from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import Program, Worker
from warpwright.bench.device.worker_pool import WorkerPool, split_cores
from warpwright.bench.full_size import Failure, FullSize, secret_seed
from warpwright.sandbox.deadline import Deadline
from warpwright.store.binaries import cache_directory
from warpwright.types.accuracy_numbers import CaseSpec
from warpwright.types.config import Config
from warpwright.types.measurement import Burst, MeasuredGpu
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem
from warpwright.types.verdict import AccuracyCase
from warpwright.types.worker_reply import Answer, CandidateFailed, Done


@dataclass
class Bench:
    """What measuring one problem needs: processes, conditions, accuracy at full size.

    Workers of `pool` are timed, those of `compilers` fill Triton's caches; both are kept between
    their uses.
    """

    problem: Problem
    parent: str
    device: str
    reference_process: ReferenceProcess
    pool: WorkerPool
    compilers: WorkerPool
    conditions: ConditionsReader
    full_size: FullSize
    caches: Path
    seed: int
    gpu: MeasuredGpu | None = None
    finds_binaries: bool = True  # whether what is compiled ahead in Triton's caches is taken
    tell: Listener = silent
    evaluation_mode: bool = False  # of the problem's model and of all programs
    _prepared: bool = False
    _order: int = 0
    _kept: CaseSpec | None = None

    def prepare(self, deadline: Deadline | None = None) -> Failure | None:
        """Load the problem and compute the references. What failed, or None.

        Of the program nothing is needed for that but its problem. Once the deadline is over no
        more kinds of data get a reference.
        """
        self._prepared = True
        loaded = self.reference_process.load(
            self.problem, seed=self.seed, evaluation_mode=self.evaluation_mode
        )
        if not isinstance(loaded, Done):
            return loaded
        self.tell("measure", "the float64 reference at full size, on each kind of data")
        return self.full_size.make_references(deadline)

    def prepare_in_evaluation_mode(self, deadline: Deadline | None = None) -> Failure | None:
        """Prepare anew for programs that launch their kernels in evaluation mode alone."""
        self.evaluation_mode = True
        self.full_size.forget()
        return self.prepare(deadline)

    def open(self, own_pins: Sequence[Mapping[str, Config]] = ()) -> Failure | None:
        """Run the parent, after `prepare` if that was not called. What failed, or None.

        `own_pins`: the parent's own configs, one by one.
        """
        if not self._prepared and (failed := self.prepare()) is not None:
            return failed
        self.tell("measure", "the parent at full size")
        worker = self.pool.take()
        try:
            ready = worker.ready()
            if not isinstance(ready, Done):
                return ready
            gpu = worker.gpu()
            self.conditions.uuid = None if gpu is None else gpu.uuid
            self.gpu = None if gpu is None else self.conditions.complete(gpu)
            own = [self.program(self.parent, pins) for pins in own_pins]
            return self.full_size.run_parent(worker, self.program(self.parent), own)
        finally:
            self.pool.give_back(worker)

    def program(self, source: str, pins: Mapping[str, Config] | None = None) -> Program:
        """A program with the problem's parameters and a Triton cache of its own."""
        return Program(
            source,
            self.problem,
            self.seed,
            pins=pins or {},
            states=self.reference_process.states,
            cache_dir=cache_directory(self.caches, source),
            evaluation_mode=self.evaluation_mode,
        )

    def check_kept(
        self, worker: Worker, label: str, parent: Worker | None = None
    ) -> AccuracyCase | Failure | None:
        """Judge the output that the last burst kept; None when there is nothing to judge.

        `parent`: a worker that holds the parent, which runs on the same inputs.
        """
        if self._kept is None or not self.reference_process.has_model:
            return None
        kept = worker.kept_output()
        if not isinstance(kept, Done):
            return kept
        right = self.full_size.right_parent
        if parent is None or right is None:
            return self.full_size.judge_output(worker, self._kept, kept.value, label, parent)
        beside = self.pool.take()  # the loaded parent's tuner takes what is wrong
        try:
            beside.load(right)
            return self.full_size.judge_output(worker, self._kept, kept.value, label, beside)
        finally:
            self.pool.give_back(beside)

    def warm_up(self, worker: Worker, seconds: float) -> Answer:
        """Call what is loaded until the time has passed: tuning, clocks, caches."""
        return worker.time(0, seed=secret_seed(), warm_up_s=seconds, deadline_s=120.0 + seconds)

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
        answer = worker.time(calls, seed=secret_seed(), keep=kept)
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
    first: Worker | None = None,
    tell: Listener = silent,
) -> Iterator[Bench]:
    """Processes for measuring one problem, ended with the block. Call `open` on it first.

    `caches`: where Triton's caches of the programs lie, kept; None: gone with the block. `first`: a
    worker that was started already; others then start with what it has built.
    """
    split = split_cores()
    if first is not None:
        first.ready()
    with (
        tempfile.TemporaryDirectory(prefix="warpwright-caches-") as temporary,
        ReferenceProcess(device, cores=split.other) as reference_process,
        WorkerPool(
            lambda: Worker(device, cores=split.other),
            spares=spares,
            cores=split.timing,
            first=first,
        ) as pool,
        WorkerPool(lambda: Worker(device, cores=split.other), spares=0) as compilers,
        ConditionsReader() as conditions,
    ):
        place = (caches or Path(temporary)).resolve()
        yield Bench(
            problem,
            parent,
            device,
            reference_process,
            pool,
            compilers,
            conditions,
            FullSize(reference_process, tuple(required_kernels)),
            place,
            secrets.randbelow(2**31),
            tell=tell,
        )
