"""Moves without a GPU: which are predicted to make a program faster, by counts of its binaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

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
from warpwright.proposers.rewrites.lanes import is_of_a_store
from warpwright.proposers.rewrites.registry import PACKS
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
LEAST_SHARE = 1 / 3  # of the time limit: the rest is for configs, which need no new code
REFINING_SHARE = 0.55  # what is left to begin refining: what was accepted is to be verified yet


def predicted_by_moves(
    request: Request, study: Study, bench: Workbench, limits: EditLimits
) -> tuple[Moved | None, tuple[MovesCounted, ...]]:
    """The program by moves that is predicted to gain most and that the verifier accepts, None
    without any; and what became of each list of moves.

    Counts are those of the config that may be the active one, in each kernel.
    """
    if study.toolchain is None or study.trace is None or limits.strict:
        return None, ()
    candidates, told = _Search(study, bench, limits).run()
    order = [place for place, counted in enumerate(told) if counted.accepted]
    for place in sorted(order, key=lambda place: _cost(told[place])):
        if _out_of_time(bench):
            told[place] = replace(told[place], accepted=False, reason=OUT_OF_TIME)
            continue
        moved = as_moved(candidates[place], request, study, bench, limits, accuracy=True)
        if isinstance(moved, Moved):
            return moved, tuple(told)
        told[place] = replace(told[place], accepted=False, reason=moved)
    return None, tuple(told)


class _Search:
    """Chains of moves, then refinements of the cheapest, each judged by counts."""

    def __init__(self, study: Study, bench: Workbench, limits: EditLimits) -> None:
        self._study, self._bench, self._limits = study, bench, limits
        self._chosen = {kernel.kernel: kernel.usual for kernel in study.kernels}
        stop = partial(_out_of_time, bench)
        self._before = program_counts(study, self._chosen, cache=bench.cache, stop=stop)

    def run(self) -> tuple[list[Candidate], list[MovesCounted]]:
        """All candidates with what became of each."""
        candidates = list(move_candidates(self._study, self._limits))
        told = self._count(candidates)
        # The cheapest is refined, also where one count alone speaks against it: that may go.
        source = self._study.view.source
        top, least = Candidate(source, source), _cost_of(self._before)
        for candidate, counted in zip(candidates, told, strict=True):
            if _cost(counted) < least:
                top, least = candidate, _cost(counted)
        # Counts do not tell what a transposed store costs: of four that were timed on an H200, two
        # lost a quarter and more of their speed (docs/log/2026-11-30-moves-on-an-h200.md).
        tried = refined(top, self._study, self._limits)
        singles = [single for single in tried if not is_of_a_store(single.moves[-1])]
        counts = self._count(singles, REFINING_SHARE)
        helpful = [
            single.moves[-1]
            for single, counted in zip(singles, counts, strict=True)
            if _cost(counted) < least - CLEARLY
        ]
        together = [with_moves(top, helpful)] if len(helpful) > 1 else []
        return [*candidates, *singles, *together], [*told, *counts, *self._count(together)]

    def _count(
        self, candidates: Sequence[Candidate], least_share: float = LEAST_SHARE
    ) -> list[MovesCounted]:
        """Each counted while so much of the time is left; the others are not looked at."""
        found: list[MovesCounted] = []
        if candidates:
            self._tell(f"counting what programs by moves execute and touch: {len(candidates)}")
        for number, candidate in enumerate(candidates, 1):
            if _out_of_time(self._bench, least_share):
                found += [_not_looked_at(left, self._before) for left in candidates[number - 1 :]]
                break
            counted = _counted(candidate, self._study, self._bench, self._chosen, self._before)
            where = f"{number} of {len(candidates)}: {moves_label(candidate.moves)}"
            self._tell(f"{where}: {counted.reason}")
            found.append(counted)
        return found

    def _tell(self, text: str) -> None:
        self._bench.listener("moves", text)


def _out_of_time(bench: Workbench, least_share: float = LEAST_SHARE) -> bool:
    """Whether what is left of the time is kept for what comes after the moves."""
    return bench.deadline is not None and bench.deadline.left_share < least_share


def _not_looked_at(candidate: Candidate, before: ProgramCounts) -> MovesCounted:
    return MovesCounted(candidate.moves, before, None, False, OUT_OF_TIME)


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
    if _out_of_time(bench):  # what was still being compiled shows nothing
        return _not_looked_at(candidate, before)
    for kernel in moved.kernels:
        if not any(config.launchable for config in kernel.configs):
            reason = f"{kernel.kernel} cannot be launched on the target any more"
            return MovesCounted(candidate.moves, before, None, False, reason)
    stop = partial(_out_of_time, bench)
    after = program_counts(moved, _of(moved, chosen), cache=bench.cache, stop=stop)
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
    packed = [move for move in candidate.moves if move.name in PACKS]
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
