"""Opening a trial: processes on the device, and the ledger of finished work."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from warpwright import __version__
from warpwright.bench.device.worker import Program
from warpwright.bench.device.worker_pool import split_cores
from warpwright.bench.full_size import CASES, NotWantedError
from warpwright.bench.processes import Bench
from warpwright.bench.statistics.budget import LEFT_AFTER_OPENING, Budget
from warpwright.sandbox.deadline import Deadline
from warpwright.search.opening import Opening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.binaries import count_binaries, has_compiled
from warpwright.store.cache import toolchain_versions
from warpwright.store.ledger import Session
from warpwright.store.measured_points import MeasuredPoints
from warpwright.types.config import Config
from warpwright.types.measurement import MeasuredGpu
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.worker_reply import Answer, CandidateFailed, Done

GIVEN_UP = "given up: the run ended twice while it was measured"
COMPILE_S = 600.0
TUNING_S = 300.0  # a first call that tunes, in a worker
LEAST_CALL_S = 5.0  # what a request to a worker gets, whatever is left
MAX_COMPILERS = 8


@dataclass
class Table:
    """What all parts of a trial work at: processes, finished work, budget, listener, deadline."""

    bench: Bench
    session: Session
    budget: Budget
    tell: Listener
    deadline: Deadline
    points: MeasuredPoints
    left_s: float = field(init=False)  # of the whole time, when this was opened

    def __post_init__(self) -> None:
        self.left_s = self.deadline.left_s

    def leaving(self, share: float) -> Deadline:
        """One that ends when so much (0 to 1) of what was left at the opening is left to others."""
        return self.deadline.until(share * self.left_s)

    def within(self, limit_s: float) -> float:
        """Seconds for a request to a worker: the limit, or what is left where that is less."""
        return max(LEAST_CALL_S, min(limit_s, self.deadline.left_s))

    def once(
        self, item: str, work: Callable[[], Mapping[str, Any]], given_up: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The result of a piece of work: that of an earlier run, else done now and kept.

        One that is ended on purpose (NotWantedError) counts as not begun.
        """
        claim = self.session.claim(item)
        if claim.result is not None:
            return claim.result
        try:
            result = given_up if claim.given_up else work()
        except NotWantedError:
            self.session.unclaim(item)
            raise
        self.session.finish(item, result)
        return result

    def is_compiled(self, program: Program) -> bool:
        """Whether its first call need not compile, as far as it is known."""
        return self.bench.device == "cpu" or is_compiled(self.bench, program)

    def compile_ahead(self, programs: Sequence[Program], deadline: Deadline | None = None) -> None:
        """As `compile_ahead`, on this table's bench."""
        compile_ahead(self.bench, programs, self.tell, deadline)


def compile_ahead(
    bench: Bench, programs: Sequence[Program], tell: Listener, deadline: Deadline | None = None
) -> None:
    """Fill the programs' Triton caches, several at a time. What fails shows when it is run.

    With a deadline those for which there is no time are left out.
    """
    programs = [program for program in programs if not is_compiled(bench, program)]
    if bench.device == "cpu" or not programs:
        return
    cores = split_cores().other or (0, 0)
    count = min(MAX_COMPILERS, len(programs), len(cores))
    tell("compile", f"compiling {len(programs)} programs ahead, {count} at a time")
    waiting: deque[Program] = deque(programs)
    with ThreadPoolExecutor(max_workers=count) as pool:
        for done in [pool.submit(_compile, bench, waiting, deadline) for _ in range(count)]:
            done.result()


def is_compiled(bench: Bench, program: Program) -> bool:
    """Whether its study left the binaries where its workers look for them."""
    if not bench.finds_binaries:
        return False
    kernels = bench.full_size.required_kernels
    pins = {kernel: program.pins.get(kernel) for kernel in kernels}
    return has_compiled(bench.caches, program.source, pins)


def _compile(bench: Bench, waiting: deque[Program], deadline: Deadline | None) -> None:
    """Compile one waiting program after another, until none is left or the time is over."""
    worker = bench.compilers.take()
    try:
        while waiting and not (deadline is not None and deadline.over):
            try:
                program = waiting.popleft()
            except IndexError:  # another thread took the last
                return
            limit_s = COMPILE_S if deadline is None else min(COMPILE_S, deadline.left_s)
            worker.compile(program, deadline_s=limit_s)
            if not worker.healthy:
                bench.compilers.give_back(worker)
                worker = bench.compilers.take()
    finally:
        bench.compilers.give_back(worker)


@contextmanager
def open_table(
    setup: TrialSetup,
    study: Study,
    question: Mapping[str, Any],
    tell: Listener = silent,
    begun: Opening | None = None,
) -> Iterator[Table | str]:
    """The table for a study's problem and program, or why nothing can be measured.

    `question` is what the answer depends on, besides program, problem, card and versions. `begun`:
    an opening that began before the study was there.
    """
    assert study.problem is not None and study.trace is not None
    parent = study.view.source
    key = question_key(question, parent, study.problem, setup)
    with ExitStack() as opened:
        if begun is None:
            begun = Opening(setup, study.problem, parent, setup.caches(key), tell)
            opened.enter_context(begun)
        bench = begun.prepared()
        if not isinstance(bench, Bench):
            yield _unmeasurable(why(bench))
            return
        bench.full_size.required_kernels = tuple(study.trace.kernels)
        opening = setup.deadline.leaving(LEFT_AFTER_OPENING)
        failed = None
        if study.trace.evaluation_mode:
            failed = bench.prepare_in_evaluation_mode(opening)
        own = own_pins(study)
        before = count_binaries(bench.caches, parent)
        compile_ahead(bench, [bench.program(parent, pins) for pins in own], tell, opening)
        failed = failed or bench.open(own)
        if before and count_binaries(bench.caches, parent) > before:
            bench.finds_binaries = False
            tell("compile", "workers do not find what was compiled ahead, so they compile it again")
        reason = _parent_failed(bench) if failed is None else why(failed)
        if reason is not None:
            yield _unmeasurable(reason)
            return
        session = setup.session(key, bench.gpu)
        if session.resumed:
            done = len(session.finished())
            tell("measure", f"an earlier run was interrupted: {done} finished steps are kept")
        yield Table(bench, session, setup.budget, tell, setup.deadline, MeasuredPoints(setup.state))


def _unmeasurable(reason: str) -> str:
    return f"the parent cannot be measured here: {reason}"


def _parent_failed(bench: Bench) -> str | None:
    """Why the parent has no output on the problem's own inputs; None where it has."""
    runs = [run for run in bench.full_size.parent_runs if run.case == CASES[0]]
    if not runs:
        return f"its output cannot be judged: {bench.full_size.left_out.get(CASES[0], 'unknown')}"
    return None if runs[0].outputs is not None else runs[0].reason or runs[0].outcome


def own_pins(study: Study) -> list[Mapping[str, Config]]:
    """Pins under which all configs of a program's lists are compiled, one by one.

    The Triton cache goes by source, so its tuners find what was compiled under pins.
    """
    tuned = [kernel for kernel in study.kernels if kernel.autotuned]
    usual = {kernel.kernel: kernel.usual for kernel in tuned}
    own: list[Mapping[str, Config]] = [
        {**usual, kernel.kernel: config.config}
        for kernel in tuned
        for config in kernel.configs
        if config.launchable
    ]
    return own or [{}]  # nothing is tuned: one way to run it


def question_key(
    question: Mapping[str, Any], parent: str, problem: Problem, setup: TrialSetup
) -> str:
    """A key of all that the measurements depend on and that is known before they begin."""
    content = {
        "version": __version__,
        "tools": dict(toolchain_versions()),
        "question": dict(question),
        "parent": parent,
        "problem": repr(problem),
        "budget": asdict(setup.budget),
        "device": setup.device,
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(source: str) -> str:
    """A program's name in the ledger."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def why(failed: Answer) -> str:
    """A failure in one line."""
    if isinstance(failed, Done):
        return ""
    where = failed.where if isinstance(failed, CandidateFailed) else ""
    return f"{where}: {failed.reason}" if where else failed.reason


def card(gpu: MeasuredGpu | None) -> str:
    """The card's name for a sentence."""
    return "this machine's CPU (Triton's interpreter)" if gpu is None else gpu.name


def numbers(value: Mapping[str, Any], name: str) -> float | None:
    """A number that a worker answered with, or None where it is none."""
    found = value.get(name)
    with suppress(TypeError, ValueError):
        return None if found is None else float(found)
    return None
