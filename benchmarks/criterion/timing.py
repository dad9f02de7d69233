"""Pairs timed one after the other: bursts of both programs in turns, with a cold L2."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from criterion.pairs import Pair, Timed
from warpwright.bench.device.worker import Program, Worker
from warpwright.store.binaries import cache_directory
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import Answer, Done

COMPILERS = 8
WARM_UP_S, CALLS, TURNS = 0.05, 6, 2
MOST_CALL_US = 60_000.0  # slower programs take the time of several others


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
