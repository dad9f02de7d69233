"""Moves without a GPU: which are predicted to make a program faster, by counts of its binaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from warpwright.diagnosis.count_criterion import compare_counts
from warpwright.diagnosis.launch_work import dtype_bytes
from warpwright.launch_counts import program_counts
from warpwright.moving import (
    Moved,
    as_moved,
    move_candidates,
    refined,
    study_moved,
    with_moves,
)
from warpwright.proposers.rewrites.registry import PACK
from warpwright.study import Workbench
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.request import Request
from warpwright.types.study import Study
from warpwright.types.trace import TensorArgument
from warpwright.types.verdict import EditLimits

CLEARLY = math.log(1.02)  # of instructions times sectors: a refinement gains at least so much
OUT_OF_TIME = "the time was over before it was looked at"


def predicted_by_moves(
    request: Request, study: Study, bench: Workbench, limits: EditLimits
) -> tuple[Moved | None, tuple[MovesCounted, ...]]:
    """The program by moves that is predicted to gain most and that the verifier accepts, None
    without any; and what became of each list of moves.

    Counts are those of the config that may be the active one, in each kernel.
    """
    candidates: list[Candidate] = list(move_candidates(study, limits))
    if study.toolchain is None or study.trace is None or limits.strict:
        return None, ()
    chosen = {kernel.kernel: kernel.usual for kernel in study.kernels}
    many = f"{len(candidates)} programs by moves execute and touch"
    one = "1 program by moves executes and touches"
    bench.listener("moves", f"counting what {one if len(candidates) == 1 else many}")
    before = program_counts(study, chosen, cache=bench.cache)
    told: list[MovesCounted] = []

    def count(more: Sequence[Candidate]) -> list[MovesCounted]:
        found = []
        for number, candidate in enumerate(more, 1):
            counted = _counted(candidate, study, bench, chosen, before)
            where = f"{number} of {len(more)}"
            bench.listener("moves", f"{where}: {moves_label(candidate.moves)}: {counted.reason}")
            found.append(counted)
        return found

    told += count(candidates)
    # The cheapest is refined, also where one count alone speaks against it: that may go.
    top, least = Candidate(study.view.source, study.view.source), _cost_of(before)
    for candidate, counted in zip(candidates, told, strict=True):
        if _cost(counted) < least:
            top, least = candidate, _cost(counted)
    singles = refined(top, study, limits)
    counts = count(singles)
    candidates, told = [*candidates, *singles], [*told, *counts]
    helpful = [
        single.moves[-1]
        for single, counted in zip(singles, counts, strict=True)
        if _cost(counted) < least - CLEARLY
    ]
    if len(helpful) > 1:
        together = [with_moves(top, helpful)]
        candidates, told = [*candidates, *together], [*told, *count(together)]
    order = [place for place, counted in enumerate(told) if counted.accepted]
    for place in sorted(order, key=lambda place: _cost(told[place])):
        moved = as_moved(candidates[place], request, study, bench, limits, accuracy=True)
        if isinstance(moved, Moved):
            return moved, tuple(told)
        told[place] = replace(told[place], accepted=False, reason=moved)
    return None, tuple(told)


def _counted(
    candidate: Candidate,
    study: Study,
    bench: Workbench,
    chosen: dict[str, Config],
    before: ProgramCounts,
) -> MovesCounted:
    moved = study_moved(candidate, study, bench, tuple(chosen.values()))
    if isinstance(moved, str):
        return MovesCounted(candidate.moves, before, None, False, moved)
    for kernel in moved.kernels:
        if not any(config.launchable for config in kernel.configs):
            reason = f"{kernel.kernel} cannot be launched on the target any more"
            return MovesCounted(candidate.moves, before, None, False, reason)
    after = program_counts(moved, _of(moved, chosen), cache=bench.cache)
    verdict = compare_counts(before, after, _copied_bytes(candidate, study))
    unknown = [f"not known: {what}" for what in verdict.unknown]
    reason = "; ".join((*verdict.reasons, *unknown)) or "the counts are the same"
    return MovesCounted(candidate.moves, before, after, verdict.accepted, reason)


def _of(study: Study, chosen: dict[str, Config]) -> dict[str, Config]:
    """The chosen config of each kernel that has it; the others are taken as they come."""
    return {
        kernel.kernel: chosen[kernel.kernel]
        for kernel in study.kernels
        if kernel.kernel in chosen and kernel.config(chosen[kernel.kernel]) is not None
    }


def _copied_bytes(candidate: Candidate, study: Study) -> float | None:
    """What the host copies of packed operands read and write in each call; None without any."""
    packed = [move for move in candidate.moves if move.name == PACK]
    if not packed:
        return None
    total = 0
    for move in packed:
        for call in study.calls:
            for launch in call.launches if call.name == move.kernel else ():
                argument = launch.arguments.get(str(move.argument("operand")))
                if isinstance(argument, TensorArgument):
                    size = dtype_bytes(argument.dtype)
                    total += 2 * math.prod(argument.shape) * (size or 8)
    return float(total)


def _cost(counted: MovesCounted) -> float:
    return math.inf if counted.after is None else _cost_of(counted.after)


def _cost_of(program: ProgramCounts) -> float:
    """What is to be small: instructions and sectors, one as important as the other."""
    counts = program.counts
    if counts.instructions is None or counts.sectors is None:
        return math.inf
    return math.log1p(counts.instructions) + math.log1p(counts.sectors)
