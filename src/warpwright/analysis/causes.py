"""From resources, roofline and profile to a short ranked list of causes.

Each cause says what may cost time, by which evidence, what that evidence cannot tell, and which
changes of a config it speaks for or against. How causes are ranked stands in docs/analysis.md:
by the share of the time that can be laid to them at most, halved where nothing measured stands
behind it. Nothing here predicts a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from warpwright.analysis.cause_case import CauseCase
from warpwright.analysis.causes_in_code import (
    idle_stages,
    missing_tensor_cores,
    spilled_registers,
    wasted_configs,
    wasted_lanes,
)
from warpwright.analysis.causes_in_grid import short_launch, tail, too_few_blocks
from warpwright.analysis.causes_in_waiting import (
    cache_traffic,
    compute_roof,
    low_occupancy,
    memory_roof,
    memory_stalls,
)
from warpwright.types.study import Cause, ConfigStep

MAX_CAUSES = 6
LEAST_SCORE = 5.0
OPPOSITE: Mapping[ConfigStep | None, ConfigStep] = {
    ConfigStep.SMALLER_TILE: ConfigStep.LARGER_TILE,
    ConfigStep.LARGER_TILE: ConfigStep.SMALLER_TILE,
}

_LOOKS: tuple[Callable[[CauseCase], Cause | None], ...] = (
    memory_roof,
    compute_roof,
    memory_stalls,
    low_occupancy,
    too_few_blocks,
    tail,
    cache_traffic,
    spilled_registers,
    idle_stages,
    missing_tensor_cores,
    wasted_lanes,
    short_launch,
    wasted_configs,
)


def kernel_causes(case: CauseCase) -> tuple[Cause, ...]:
    """The causes of one kernel, the highest score first.

    At most `MAX_CAUSES`; one that rules a move out is never left away.
    """
    found = [cause for look in _LOOKS if (cause := look(case)) is not None]
    found.sort(key=lambda cause: -cause.score)
    found = _of_one_mind(found)
    told = [c for c in found if c.score >= LEAST_SCORE or c.against]
    first = [c for c in told if not c.against][: MAX_CAUSES - sum(bool(c.against) for c in told)]
    return tuple(c for c in told if c in first or c.against)


def _of_one_mind(ranked: Sequence[Cause]) -> list[Cause]:
    """Ranked causes of which none asks for the opposite tile of a higher one.

    A cause loses that move, and is left out where it had no other.
    """
    wanted: ConfigStep | None = None
    kept = []
    for cause in ranked:
        moves = tuple(move for move in cause.moves if move is not OPPOSITE.get(wanted))
        if cause.moves and not moves:
            continue
        wanted = wanted or next((move for move in moves if move in OPPOSITE), None)
        kept.append(replace(cause, moves=moves))
    return kept


def cause_for(causes: Sequence[Cause], move: ConfigStep) -> Cause | None:
    """The highest of ranked causes that speaks for a move, or None."""
    return next((cause for cause in causes if move in cause.moves), None)


def is_ruled_out(causes: Sequence[Cause], move: ConfigStep) -> bool:
    """Whether a cause shows that a move changes nothing."""
    return any(move in cause.against for cause in causes)
