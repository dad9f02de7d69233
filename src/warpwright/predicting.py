"""Moves without a GPU: which are predicted to make a program faster, by counts of its binaries."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from warpwright.diagnosis.count_criterion import compare_counts
from warpwright.diagnosis.launch_work import dtype_bytes
from warpwright.launch_counts import program_counts
from warpwright.moving import Moved, as_moved, move_candidates, study_moved
from warpwright.proposers.rewrites.registry import PACK
from warpwright.study import Workbench
from warpwright.types.candidate import Candidate
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.request import Request
from warpwright.types.study import Study
from warpwright.types.trace import TensorArgument
from warpwright.types.verdict import EditLimits

OUT_OF_TIME = "the time was over before it was looked at"
LEAST_SHARE = 1 / 3  # of the time limit: the rest is for configs, which need no new code


def predicted_by_moves(
    request: Request, study: Study, bench: Workbench, limits: EditLimits
) -> tuple[Moved | None, tuple[MovesCounted, ...]]:
    """The program by moves that is predicted to gain most and that the verifier accepts, None
    without any; and what became of each list of moves.

    Counts are those of the config that may be the active one, in each kernel.
    """
    candidates = move_candidates(study, limits)
    if not candidates or study.toolchain is None:
        return None, ()
    chosen = {kernel.kernel: kernel.usual for kernel in study.kernels}
    bench.listener("moves", f"counting what {len(candidates)} programs by moves execute and touch")
    stop = partial(_out_of_time, bench)
    before = program_counts(study, chosen, cache=bench.cache, stop=stop)
    told = []
    for number, candidate in enumerate(candidates, 1):
        if _out_of_time(bench):
            told += [_not_looked_at(left, before) for left in candidates[number - 1 :]]
            break
        counted = _counted(candidate, study, bench, chosen, before)
        bench.listener("moves", f"{number} of {len(candidates)}: {counted.names}: {counted.reason}")
        told.append(counted)
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


def _out_of_time(bench: Workbench) -> bool:
    """Whether what is left of the time is kept for what comes after the moves."""
    return bench.deadline is not None and bench.deadline.left_share < LEAST_SHARE


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
    """What is to be small: instructions and sectors, one as important as the other."""
    after = counted.after
    if after is None or after.counts.instructions is None or after.counts.sectors is None:
        return math.inf
    return math.log1p(after.counts.instructions) + math.log1p(after.counts.sectors)
