"""Causes in the shape of a launch: too few blocks, a part-filled last wave, too little work."""

from __future__ import annotations

from warpwright.analysis.cause_case import CauseCase, make_cause
from warpwright.types.evidence import Origin
from warpwright.types.study import Cause, ConfigStep, Evidence

LEAST_TAIL_PCT = 10.0
SHORT_LAUNCH_US = 5.0
"""A launch whose floor is under this: starting it costs a few µs by itself (not measured here)."""


def _grid_is_fixed(case: CauseCase) -> bool:
    """Whether all tiles of the program, two or more, have one grid: none makes more blocks."""
    grids = {(study.config.meta, study.grid) for study in case.study.configs}
    tiles, extents = {tile for tile, _ in grids}, {grid for _, grid in grids}
    return len(tiles) > 1 and len(extents) == 1 and None not in extents


def too_few_blocks(case: CauseCase) -> Cause | None:
    """Less than one wave: some SMs, or some of their places, stay empty throughout."""
    found, config = case.waves, case.config
    if found is None or config is None or config.blocks is None or found.total >= 1.0:
        return None
    idle = max(0, case.sheet.sm_count - config.blocks)
    share = 100.0 * idle / case.sheet.sm_count if idle else 100.0 * (1.0 - found.total) / 2
    text = f"{config.blocks:,} blocks on {case.sheet.sm_count} SMs, {found.total:.2f} waves" + (
        f": {idle} SMs have nothing to do" if idle else ""
    )
    fixed = _grid_is_fixed(case)
    advice = (
        "The grid is the same for every tile; more warps a block use what is idle."
        if fixed
        else "More blocks fill it; where tiles are frozen, more warps a block use what is idle."
    )
    return make_cause(
        "few-blocks",
        case,
        f"The launch has too few blocks to fill the card. {advice}",
        (Evidence(text, Origin.PREDICTED),),
        share,
        unknown=("whether other kernels run beside it", *case.doubt),
        moves=(ConfigStep.MORE_WARPS,)
        if fixed
        else (ConfigStep.SMALLER_TILE, ConfigStep.MORE_WARPS),
    )


def tail(case: CauseCase) -> Cause | None:
    """A last wave that fills only a part of the card."""
    found = case.waves
    if found is None or found.total < 1.0 or found.slots_used_pct is None:
        return None
    idle = 100.0 - found.slots_used_pct
    if idle < LEAST_TAIL_PCT:
        return None
    text = (
        f"{found.total:.2f} waves: the last one fills {100 * found.tail_fraction:.0f} % of the "
        f"card, so {idle:.0f} % of all places stay empty if every block takes equally long"
    )
    return make_cause(
        "tail",
        case,
        "The last wave leaves a part of the card idle. This depends on the grid and on how many "
        "blocks fit on an SM, not on stages as such.",
        (Evidence(text, Origin.PREDICTED),),
        idle,
        unknown=("how evenly blocks end: a new one starts as soon as one is done", *case.doubt),
        moves=() if _grid_is_fixed(case) else (ConfigStep.SMALLER_TILE,),
    )


def short_launch(case: CauseCase) -> Cause | None:
    """So little work that the launch itself costs as much."""
    config = case.config
    if config is None or not config.floors:
        return None
    floors = [launch for launch in config.floors if launch.floor_us is not None]
    if not floors or len(floors) < len(config.floors):
        return None
    if any(launch.compute_us is None or launch.memory_us is None for launch in floors):
        return None
    longest = max(launch.floor_us or 0.0 for launch in floors)
    if longest >= SHORT_LAUNCH_US:
        return None
    count = sum(launch.launches for launch in floors)
    told = f"its floor is {longest:.2f} µs a launch, {count} launch{'es' if count > 1 else ''}"
    return make_cause(
        "launch-overhead",
        case,
        "The launch does so little that starting it may cost as much as its work. Fewer launches "
        "(fusion, a CUDA graph) help; its configs hardly do.",
        (Evidence(told, Origin.PREDICTED),),
        100.0 * (1.0 - longest / SHORT_LAUNCH_US),
        unknown=("how long it really takes: a floor is no time",),
    )
