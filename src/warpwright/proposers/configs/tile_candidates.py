"""Which points of a kernel's space to try first: known-good shapes, then a spread of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.space import TileSpace
from warpwright.proposers.configs.spread import spread
from warpwright.types.config import Config
from warpwright.types.config_space import STAGES, WARPS

NEAR_FACTOR = 4
MOST_SPREAD = 160
"""Points among which a spread is looked for: it compares each with each that was chosen."""


def tile_candidates(found: TileSpace, rules: TuningRules, count: int) -> tuple[Config, ...]:
    """Up to `count` configs with other tiles than the start's, the most promising first.

    First what the rules advise to start with, then shapes that are known to be good for the kind,
    then the start's own neighbours, then points that lie far from all of those: among tiles near
    the start's of which a thread holds as much as is mostly good, then among all of that sort.
    """
    start = found.space.start
    first: dict[Config, None] = {}
    for config in (*good_shapes(found, rules), *found.space.neighbours(start)):
        if config.meta != start.meta:
            first[config] = None
    chosen = list(islice(first, count))
    if len(chosen) == count:
        return tuple(chosen)
    others = [c for c in found.space.configs() if c.meta != start.meta and found.limits.usual(c)]
    for pool in ([c for c in others if _near(c, start)], others):
        rest = [c for c in _sample(pool) if c not in chosen]
        chosen += spread(rest, count - len(chosen), [start, *chosen])
    return tuple(chosen)


def _near(config: Config, start: Config) -> bool:
    """Tiles within a factor of 4 in each size, warps of 2, and as many stages."""
    own = start.meta_dict
    sizes = [(v, own.get(n)) for n, v in config.meta if v != own.get(n)]
    return (
        config.num_stages == start.num_stages
        and _within(config.num_warps, start.num_warps, 2)
        and all(
            isinstance(a, int) and isinstance(b, int) and _within(a, b, NEAR_FACTOR)
            for a, b in sizes
        )
    )


def _within(one: int, other: int, factor: int) -> bool:
    return one <= other * factor and other <= one * factor


def _sample(configs: Iterable[Config]) -> Sequence[Config]:
    """Every so many-th of the configs, so that few enough stay to be compared."""
    listed = list(configs)
    step = max(1, len(listed) // MOST_SPREAD)
    # A step that shares a factor with an axis' length would pass over values of it.
    while step > 1 and any(step % prime == 0 for prime in (2, 3, 5)):
        step += 1
    return listed[::step]


def good_shapes(found: TileSpace, rules: TuningRules) -> tuple[Config, ...]:
    """Points of the space that are known to be good for its kind, the usual ones first.

    Those of sizes that the rules advise to start with come before the others.
    """
    space, use = found.space, found.use
    axes = {axis.name: axis.values for axis in space.axes}
    shapes: dict[Config, None] = {}
    for shape in use.table.shapes:
        sizes = {
            name: size
            for name, role in use.roles.items()
            if name in axes and (size := shape.size(role)) is not None
        }
        if any(size not in axes[name] for name, size in sizes.items()):
            continue
        config = replace(
            space.start,
            meta=tuple({**space.start.meta_dict, **sizes}.items()),
            num_warps=_nearest(axes.get(WARPS, ()), shape.warps, space.start.num_warps),
            num_stages=_nearest(axes.get(STAGES, ()), shape.stages, space.start.num_stages),
        )
        if space.allowed(config):
            shapes[config] = None
    return tuple(sorted(shapes, key=lambda config: not rules.advises(config)))


def _nearest(values: Sequence[int | None], wanted: int, default: int) -> int:
    numbers = [value for value in values if value is not None]
    return min(numbers, key=lambda value: abs(value - wanted), default=default)
