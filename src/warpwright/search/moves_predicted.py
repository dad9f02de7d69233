"""Moves without a GPU: which are predicted to make a program faster, by counts of its binaries."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from warpwright.compiler.compile_pool import usable_workers
from warpwright.costmodel.count_criterion import compare_counts
from warpwright.costmodel.launch_counts import program_counts
from warpwright.costmodel.launch_work import dtype_bytes
from warpwright.costmodel.product_rates import against_parts, parts_ratio
from warpwright.costmodel.roofline import RateClass
from warpwright.proposers.rewrites.lanes import is_of_a_store
from warpwright.proposers.rewrites.registry import FLOAT32_BY, MEASURED, PACKS, UNPACKS
from warpwright.search.moves import (
    move_candidates,
    refined,
    run_by,
    study_moved,
    with_those_that_go_together,
)
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate, Move, moves_label, programs_by_moves
from warpwright.types.compiled import CompileFailed
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.launch_trace import TensorArgument
from warpwright.types.progress import silent
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import NOT_IN_TIME, EditLimits

CLEARLY = math.log(1.02)  # of instructions times sectors: a refinement gains at least so much
OUT_OF_TIME = "the time was over before it was looked at"
LEAST_SHARE = 0.5  # of the time limit: the rest is for verifying, and for configs
REFINING_SHARE = 0.6  # what is left to begin refining


@dataclass(frozen=True, slots=True)
class Predicted:
    """Candidates by moves, and what counts say of each, in the same order."""

    candidates: tuple[Candidate, ...] = ()
    counted: tuple[MovesCounted, ...] = ()

    @property
    def accepted(self) -> tuple[int, ...]:
        """The places of those that counts speak for, what is predicted to gain most first."""
        places = [place for place, counted in enumerate(self.counted) if counted.accepted]
        return tuple(sorted(places, key=lambda place: _cost(self.counted[place])))

    @property
    def foremost(self) -> MovesCounted | None:
        """What is predicted to gain most, taken or not; the first where no counts are known."""
        return min(self.counted, key=_cost, default=None)

    def without(self, place: int, reason: str) -> Predicted:
        """The same, but one of them is not taken after all."""
        counted = list(self.counted)
        counted[place] = replace(counted[place], accepted=False, reason=reason)
        return replace(self, counted=tuple(counted))


def predicted_by_moves(study: Study, run_context: RunContext, limits: EditLimits) -> Predicted:
    """Which lists of moves are predicted to make a program faster; none is verified here.

    Counts are those of the config that may be the active one, in each kernel.
    """
    if study.toolchain is None or study.trace is None or limits.strict:
        return Predicted()
    candidates, told = _Search(study, run_context, limits).run()
    return Predicted(tuple(candidates), tuple(told))


class _Search:
    """Chains of moves, then refinements of the cheapest, each judged by counts."""

    def __init__(self, study: Study, run_context: RunContext, limits: EditLimits) -> None:
        self._study, self._run_context, self._limits = study, run_context, limits
        self._seen: dict[Hashable, tuple[Move, ...]] = {}
        self._chosen = {kernel.kernel: kernel.usual for kernel in study.kernels}
        stop = partial(_out_of_time, run_context.leaving(LEAST_SHARE))
        self._before = program_counts(study, self._chosen, cache=run_context.cache, stop=stop)

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
        singles = [
            single
            for single in tried
            if not is_of_a_store(single.moves[-1]) and single.moves[-1].name not in MEASURED
        ]
        counts = self._count(singles, REFINING_SHARE)
        helpful = [
            single.moves[-1]
            for single, counted in zip(singles, counts, strict=True)
            if _cost(counted) < least - CLEARLY
        ]
        both = with_those_that_go_together(top, helpful)
        together = [both] if len(both.moves) > len(top.moves) + 1 else []
        return [*candidates, *singles, *together], [*told, *counts, *self._count(together)]

    def _count(
        self, candidates: Sequence[Candidate], least_share: float = LEAST_SHARE
    ) -> list[MovesCounted]:
        """Each counted while so much of the time is left; the others are not looked at."""
        if candidates:
            programs = programs_by_moves(len(candidates))
            self._tell(f"counting what {programs} would execute and touch")
        quiet = replace(self._run_context.leaving(least_share), listener=silent)

        def count(candidate: Candidate) -> tuple[MovesCounted, Hashable]:
            if _out_of_time(quiet):
                return _not_looked_at(candidate, self._before), None
            return _counted(candidate, self._study, quiet, self._chosen, self._before)

        found: list[MovesCounted] = []
        with ThreadPoolExecutor(max_workers=usable_workers()) as pool:
            for counted, code in pool.map(count, candidates):
                found.append(self._unless_known(counted, code))
                counted = found[-1]
                where = f"{len(found)} of {len(candidates)}: {moves_label(counted.moves)}"
                self._tell(f"{where}: {counted.reason}")
        return found

    def _unless_known(self, counted: MovesCounted, code: Hashable) -> MovesCounted:
        """What runs the same as another before it is no candidate of its own."""
        if code is None:
            return counted
        first = self._seen.setdefault(code, counted.moves)
        if first == counted.moves:
            return counted
        reason = f"compiles to the same code as {moves_label(first)}"
        return replace(counted, accepted=False, reason=reason)

    def _tell(self, text: str) -> None:
        self._run_context.listener("moves", text)


def _out_of_time(run_context: RunContext) -> bool:
    """Whether the search's own time is over; what is left is kept for what comes after it."""
    return run_context.deadline is not None and run_context.deadline.over


def _not_looked_at(candidate: Candidate, before: ProgramCounts) -> MovesCounted:
    return MovesCounted(candidate.moves, before, None, False, OUT_OF_TIME)


def _counted(
    candidate: Candidate,
    study: Study,
    run_context: RunContext,
    chosen: dict[str, Config],
    before: ProgramCounts,
) -> tuple[MovesCounted, Hashable]:
    """The candidate by its counts, and what it runs (None where that is not known)."""
    if slower := _slower_by_rates(candidate, study):
        return MovesCounted(candidate.moves, before, None, False, slower), None
    moved = study_moved(candidate, study, run_context, tuple(chosen.values()))
    if isinstance(moved, str):
        return MovesCounted(candidate.moves, before, None, False, moved), None
    if _out_of_time(run_context):  # what was still being compiled shows nothing
        return _not_looked_at(candidate, before), None
    for kernel in moved.kernels:
        if not any(config.launchable for config in kernel.configs):
            if _cut(kernel):
                return _not_looked_at(candidate, before), None
            reason = f"{kernel.kernel} cannot be launched on the target any more"
            return MovesCounted(candidate.moves, before, None, False, reason), None
    stop = partial(_out_of_time, run_context)
    after = program_counts(moved, _of(moved, chosen), cache=run_context.cache, stop=stop)
    occupancy = 1 / max([1.0, *_parts_ratios(candidate, study)])
    verdict = compare_counts(before, after, _copied_bytes(candidate, study), occupancy)
    unknown = [f"not known: {what}" for what in verdict.unknown]
    reason = "; ".join((*verdict.reasons, *unknown)) or "the counts are the same"
    counted = MovesCounted(candidate.moves, before, after, verdict.accepted, reason)
    return counted, run_by(moved, _of(moved, chosen))


def _slower_by_rates(candidate: Candidate, study: Study) -> str | None:
    """Why the target's rates speak against how a candidate computes products; None: they do not."""
    for rate, products in _parts(candidate):
        if reason := against_parts(RateClass(rate), products, study.gpu.sheet):
            return reason
    return None


def _parts_ratios(candidate: Candidate, study: Study) -> list[float]:
    """How many times faster the target does a candidate's products than the parent's, by rates."""
    found = (parts_ratio(RateClass(r), n, study.gpu.sheet) for r, n in _parts(candidate))
    return [ratio for ratio in found if ratio is not None]


def _parts(candidate: Candidate) -> set[tuple[str, int]]:
    return {FLOAT32_BY[move.name] for move in candidate.moves if move.name in FLOAT32_BY}


def _cut(kernel: KernelStudy) -> bool:
    """Whether the time was over while a config of it was compiled: that shows nothing."""
    results = [view.result for config in kernel.configs for view in config.compiled]
    return any(isinstance(r, CompileFailed) and r.reason.startswith(NOT_IN_TIME) for r in results)


def _of(study: Study, chosen: dict[str, Config]) -> dict[str, Config]:
    """The chosen config of each kernel that has it; the others are taken as they come."""
    return {
        kernel.kernel: chosen[kernel.kernel]
        for kernel in study.kernels
        if kernel.kernel in chosen and kernel.config(chosen[kernel.kernel]) is not None
    }


def _copied_bytes(candidate: Candidate, study: Study) -> float | None:
    """What the host copies of operands beyond what it did, read and written in each call; below
    zero where it copies less. None where no move is about copies."""
    copies = [(m, m.argument("operand"), 2) for m in candidate.moves if m.name in PACKS]
    copies += [(m, m.argument("pointer"), -2) for m in candidate.moves if m.name in UNPACKS]
    if not copies:
        return None
    total = 0
    for move, operand, times in copies:
        for call in study.calls:
            for launch in call.launches if call.name == move.kernel else ():
                argument = launch.arguments.get(str(operand))
                if isinstance(argument, TensorArgument):
                    size = dtype_bytes(argument.dtype)
                    total += times * math.prod(argument.shape) * (size or (8 if times > 0 else 0))
    return float(total)


def _cost(counted: MovesCounted) -> float:
    return math.inf if counted.after is None else _cost_of(counted.after)


def _cost_of(program: ProgramCounts) -> float:
    """What is to be small: instructions and sectors, one as important as the other."""
    counts = program.counts
    if counts.instructions is None or counts.sectors is None:
        return math.inf
    return math.log1p(counts.instructions) + math.log1p(counts.sectors)
