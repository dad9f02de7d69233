"""Pairs of programs counted as answers without a GPU count them, several programs at a time."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import queue
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from criterion.pairs import Case, Pair
from warpwright.api import target_gpu
from warpwright.errors import WarpwrightError
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.request_study import study_request
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.config_list import apply_configs, configs_move
from warpwright.sandbox.deadline import Deadline
from warpwright.search.moves_predicted import predicted_by_moves
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import moves_label
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted
from warpwright.types.request import Profile, Request
from warpwright.types.verdict import EditLimits

SAME_CODE = "compiles to the same code"


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
