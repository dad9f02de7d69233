"""How often the criterion by counts is right: pairs of a program and the same with moves, timed.

    PYTHONPATH=src python benchmarks/criterion_pairs.py OUT.jsonl [--cases CASES.jsonl[.gz]]
        [--gpu here] [--processes 16] [--count-s 110] [--time-s 150] [--count-only]

Programs: the examples, and those of the requests in `CASES` (one JSON object a line: request,
inputs, init). Each is left one config a kernel. Processes count what each program would execute and
touch before and after its moves, as answers without a GPU do, compiled by this machine's Triton for
`--gpu`. Then some processes compile ahead, and at last each pair is timed alone: bursts of both
in turns, each call with a cold L2. A row a pair goes to `OUT`; the table comes last on stdout.

Of what the criterion accepts at least 95 % should keep 0.98 of the speed; of what gains 10 % or
more it should accept at least 60 %.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import multiprocessing
import os
import queue
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from recorded import problem_of

from warpwright.api import target_gpu
from warpwright.bench.device.worker import Program, Worker
from warpwright.errors import WarpwrightError
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.request_study import study_request
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.config_list import apply_configs, configs_move
from warpwright.sandbox.deadline import Deadline
from warpwright.search.moves_predicted import predicted_by_moves
from warpwright.store.binaries import cache_directory
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import moves_label
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted
from warpwright.types.request import Profile, Request
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import EditLimits
from warpwright.types.worker_reply import Answer, Done

KEPT_SPEED, CLEAR_GAIN = 0.98, 1.10
LEAST_PRECISION, LEAST_RECALL = 0.95, 0.60
MOST_BYTES = 2**30  # of a problem's inputs: larger ones take the time of several others
COMPILERS = 8
WARM_UP_S, CALLS, TURNS = 0.05, 6, 2
MOST_CALL_US = 60_000.0  # slower programs take the time of several others
SAME_CODE = "compiles to the same code"


@dataclass(frozen=True, slots=True)
class Case:
    """A program with its problem; `request` is parsed where it is counted."""

    name: str
    request: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Pair:
    """A program before and after moves, and what counts say of it."""

    case: str
    parent: str
    program: str
    moves: str
    counted: dict[str, Any]


@dataclass(slots=True)
class Timed:
    """Microseconds a call of both, in turns; or why there are none."""

    before_us: list[float] = field(default_factory=list)
    after_us: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def speed(self) -> float | None:
        """Of the program after its moves, for 1 of that before."""
        if self.failure is not None or not self.before_us or not self.after_us:
            return None
        return median(self.before_us) / median(self.after_us)


def main() -> None:
    options = _options()
    began = time.monotonic()
    cases = _cases(options)
    print(f"{len(cases)} programs, {options.processes} processes", flush=True)
    pairs = counted_pairs(cases, options, began + options.count_s)
    print(f"{time.monotonic() - began:.0f} s: {len(pairs)} pairs are counted", flush=True)
    problems = {case.name: case.problem for case in cases}
    timed = {} if options.count_only else timed_pairs(pairs, problems, options.time_s)
    rows = [_row(pair, timed.get(number)) for number, pair in enumerate(pairs)]
    options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(summary(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=Path, help="JSON lines of requests with inputs")
    parser.add_argument("--only", help="numbers of cases, divided by commas")
    parser.add_argument("--gpu", default="here")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--programs", type=int, default=80, help="at most so many")
    parser.add_argument("--each", type=int, default=3, help="pairs of a program at most")
    parser.add_argument("--each-s", type=float, default=80.0, help="counting of a program")
    parser.add_argument("--count-s", type=float, default=110.0)
    parser.add_argument("--time-s", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count-only", action="store_true", help="no GPU: time nothing")
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> list[Case]:
    """The examples first, then the others in an order that the seed draws."""
    examples = Path(__file__).parent.parent / "examples"
    found = [
        Case(
            folder.name,
            (folder / "request.txt").read_text(),
            Problem(source=(folder / "problem.py").read_text(), origin="example"),
        )
        for folder in sorted(examples.iterdir())
        if (folder / "request.txt").is_file()
    ]
    if options.cases is None:
        return found
    opened = gzip.open if options.cases.suffix == ".gz" else open
    chosen = None if options.only is None else set(map(int, options.only.split(",")))
    others = []
    with opened(options.cases, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            case = json.loads(line)
            problem = problem_of(case)
            wanted = chosen is None or number in chosen
            if wanted and problem is not None and _input_bytes(problem) <= MOST_BYTES:
                others.append(Case(f"r{number}", case["request"], problem))
    random.Random(options.seed).shuffle(others)
    return [*found, *others][: options.programs]


def _input_bytes(problem: Problem) -> int:
    tensors = [spec for spec in problem.inputs if isinstance(spec, TensorSpec)]
    return sum(4 * math.prod(spec.shape) for spec in tensors)


def counted_pairs(cases: Sequence[Case], options: argparse.Namespace, ends: float) -> list[Pair]:
    """Pairs of all programs that were counted by then, in the order of the programs."""
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    for case in cases:
        todo.put(case)
    arguments = (todo, done, options.gpu, options.each, options.each_s, options.seed, ends)
    cores = _cores()
    processes = [
        context.Process(target=_count_all, args=(cores[number % len(cores)], *arguments))
        for number in range(min(options.processes, len(cases)))
    ]
    for process in processes:
        process.start()
    found: dict[str, list[Pair]] = {}
    while len(found) < len(cases) and (left := ends - time.monotonic()) > 0:
        try:
            name, pairs, told = done.get(timeout=left)
        except queue.Empty:
            break
        found[name] = pairs
        print(f"{len(found)}/{len(cases)} {name}: {told}", flush=True)
    for process in processes:
        process.terminate()
        process.join(timeout=5.0)
    return [pair for case in cases for pair in found.get(case.name, [])]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _count_all(
    core: int, todo: Any, done: Any, gpu: str, each: int, each_s: float, seed: int, ends: float
) -> None:
    """In a process of its own, on one core: one program after another."""
    os.sched_setaffinity(0, {core})
    while time.monotonic() < ends - 5.0:
        try:
            case = todo.get(timeout=1.0)
        except queue.Empty:
            return
        began = time.monotonic()
        try:
            pairs, told = _count(case, gpu, each, min(each_s, ends - began), seed)
        except (WarpwrightError, DoesNotApply) as error:
            pairs, told = [], f"not studied: {str(error)[:120]}"
        done.put((case.name, pairs, f"{told}, {time.monotonic() - began:.0f} s"))


def _count(case: Case, gpu: str, each: int, limit_s: float, seed: int) -> tuple[list[Pair], str]:
    request = parse_request(case.request)
    program = one_config_each(request.program)
    target = target_gpu(gpu)
    request = Request(
        gpu=request.gpu, stage=request.stage, program=program, profile=Profile(), task=request.task
    )
    with tempfile.TemporaryDirectory(prefix="criterion-") as folder:
        run_context = RunContext(ResultCache(Path(folder)), workers=1, deadline=Deadline(limit_s))
        study, _ = study_request(request, run_context, case.problem, target)
        predicted = predicted_by_moves(study, run_context, EditLimits())
    known = [
        Pair(case.name, program, candidate.program, moves_label(counted.moves), _told(counted))
        for candidate, counted in zip(predicted.candidates, predicted.counted, strict=True)
        if counted.after is not None and not counted.reason.startswith(SAME_CODE)
    ]
    chosen = known
    if len(known) > each:  # drawn, whatever counts say: neither precision nor recall is flattered
        chosen = random.Random(f"{seed} {case.name}").sample(known, each)
    return chosen, f"{len(known)} of {len(predicted.candidates)} by moves are counted"


def one_config_each(source: str) -> str:
    """The program with the middle one of each tuned kernel's configs, by what a program holds."""
    for kernel in read_program(source).kernels:
        if kernel.autotune is not None and kernel.autotune.configs:
            ordered = sorted(kernel.autotune.configs, key=_held)
            middle = ordered[len(ordered) // 2]
            source = apply_configs(source, configs_move(kernel.name, (middle,)))
    return source


def _held(config: Config) -> float:
    numbers = [value for _, value in config.meta if isinstance(value, int) and value > 0]
    return math.prod(numbers) / config.num_warps


def _told(counted: MovesCounted) -> dict[str, Any]:
    assert counted.after is not None
    before, after = counted.before.counts, counted.after.counts
    return {
        "accepted": counted.accepted,
        "reason": counted.reason,
        "instructions": [before.instructions, after.instructions],
        "sectors": [before.sectors, after.sectors],
        "requested_bytes": [before.requested_bytes, after.requested_bytes],
        "occupancy_pct": [dict(counted.before.occupancy_pct), dict(counted.after.occupancy_pct)],
        "spill_bytes": [dict(counted.before.spill_bytes), dict(counted.after.spill_bytes)],
    }


def timed_pairs(
    pairs: Sequence[Pair], problems: dict[str, Problem], limit_s: float
) -> dict[int, Timed]:
    """Times of the pairs by their numbers, those of one program one after the other."""
    ends = time.monotonic() + limit_s
    with tempfile.TemporaryDirectory(prefix="criterion-triton-") as folder:
        caches = Path(folder).resolve()

        def loadable(name: str, source: str) -> Program:
            return Program(source, problems[name], 1, cache_dir=cache_directory(caches, source))

        programs = {(p.case, source) for p in pairs for source in (p.parent, p.program)}
        _compile_ahead([loadable(*program) for program in sorted(programs)], ends - 0.6 * limit_s)
        print("compiled ahead", flush=True)
        found: dict[int, Timed] = {}
        with Worker("cuda") as before, Worker("cuda") as after:
            workers = [before, after]
            for number, pair in enumerate(_rounds(pairs)):
                place, one = pair
                if time.monotonic() > ends:
                    break
                texts = [loadable(one.case, one.parent), loadable(one.case, one.program)]
                found[place] = timed = _timed(workers, texts)
                told = timed.failure or f"{timed.speed or 0.0:.3f}×"
                verdict = "accepted" if one.counted["accepted"] else "not accepted"
                print(f"{number + 1}/{len(pairs)} {one.case} {one.moves}: {told}, {verdict}")
                for side, worker in enumerate(workers):
                    if not worker.healthy:
                        worker.close()
                        workers[side] = Worker("cuda")
            for worker in workers:
                worker.close()
        return found


def _rounds(pairs: Sequence[Pair]) -> Iterator[tuple[int, Pair]]:
    """One pair of each program, then the second of each: an early end leaves all programs in."""
    turn: dict[str, int] = {}
    numbered = []
    for number, pair in enumerate(pairs):
        turn[pair.case] = turn.get(pair.case, 0) + 1
        numbered.append((turn[pair.case], number, pair))
    for _, number, pair in sorted(numbered, key=lambda entry: entry[:2]):
        yield number, pair


def _compile_ahead(programs: Sequence[Program], ends: float) -> None:
    """Fill the programs' Triton caches until then; what is left is compiled when it is timed."""
    rows = [programs[number::COMPILERS] for number in range(COMPILERS)]

    def compile_row(row: Sequence[Program]) -> None:
        with Worker("cuda") as worker:
            for program in row:
                if time.monotonic() > ends or not worker.healthy:
                    return
                worker.compile(program, deadline_s=max(1.0, ends - time.monotonic()))

    with ThreadPoolExecutor(max_workers=COMPILERS) as pool:
        list(pool.map(compile_row, rows))


def _timed(workers: Sequence[Worker], programs: Sequence[Program]) -> Timed:
    """Load both, warm them up, then bursts in turns."""
    timed = Timed()
    for worker, program in zip(workers, programs, strict=True):
        answer: Answer = worker.load(program, deadline_s=30.0)
        if isinstance(answer, Done):
            answer = worker.time(2, seed=1, warm_up_s=WARM_UP_S, deadline_s=30.0)
        if not isinstance(answer, Done):
            timed.failure = answer.reason[:160]
            return timed
        if median(map(float, answer.value["times_us"])) > MOST_CALL_US:
            timed.failure = "a call takes too long for this benchmark"
            return timed
    taken = (timed.before_us, timed.after_us)
    for turn in range(2 * TURNS):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            answer = workers[side].time(CALLS, seed=10 * turn + side + 7, deadline_s=30.0)
            if not isinstance(answer, Done):
                timed.failure = answer.reason[:160]
                return timed
            taken[side].extend(map(float, answer.value["times_us"]))
    return timed


def _row(pair: Pair, timed: Timed | None) -> dict[str, Any]:
    row: dict[str, Any] = {"case": pair.case, "moves": pair.moves, **pair.counted}
    if timed is None:
        return {**row, "speed": None, "failure": "not timed"}
    return {
        **row,
        "speed": timed.speed,
        "failure": timed.failure,
        "before_us": timed.before_us,
        "after_us": timed.after_us,
    }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The table of all pairs, then precision and recall of what was timed."""
    lines = ["| program | moves | instructions | sectors | criterion | speed |", "|-" * 6 + "|"]
    for row in rows:
        speed = "–" if row["speed"] is None else f"{row['speed']:.3f}×"
        verdict = "accepts" if row["accepted"] else "does not"
        counts = f"{_change(row['instructions'])} | {_change(row['sectors'])}"
        lines.append(f"| {row['case']} | {row['moves']} | {counts} | {verdict} | {speed} |")
    timed = [row for row in rows if row["speed"] is not None]
    accepted = [row for row in timed if row["accepted"]]
    kept = sum(row["speed"] >= KEPT_SPEED for row in accepted)
    clear = [row for row in timed if row["speed"] >= CLEAR_GAIN]
    taken = sum(row["accepted"] for row in clear)
    lines += [
        f"{len(timed)} of {len(rows)} pairs were timed.",
        f"Not slower than {KEPT_SPEED}× of what is accepted: {kept} of {len(accepted)} "
        f"(wanted: {LEAST_PRECISION:.0%}).",
        f"Accepted of what gains {CLEAR_GAIN - 1:.0%} or more: {taken} of {len(clear)} "
        f"(wanted: {LEAST_RECALL:.0%}).",
    ]
    return "\n".join(lines)


def _change(sides: Sequence[float | None]) -> str:
    before, after = sides
    return "?" if before is None or after is None or not before else f"{after / before - 1:+.1%}"


if __name__ == "__main__":
    main()
