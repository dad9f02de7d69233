"""Which configs to keep where a limit leaves room for few: those that lie far from each other.

Nothing is known of their speed, so the tuner should see every part of the space that the program
spans, not the first corner of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import dist, log2

from warpwright.types.config import Config, MetaValue


def spread(
    configs: Sequence[Config], room: int, present: Sequence[Config] = ()
) -> tuple[Config, ...]:
    """Up to `room` of the configs, far from each other and from those `present`.

    Greedy farthest points over one coordinate for each meta-parameter, warps and stages, on a
    logarithmic scale from 0 to 1. Without any present the one in the middle comes first. Among
    equals the first of the list.
    """
    points = dict(zip((*present, *configs), _coordinates([*present, *configs]), strict=True))
    chosen = [points[config] for config in present]
    left = list(dict.fromkeys(configs))
    found: list[Config] = []
    while left and len(found) < room:
        if chosen:
            best = max(left, key=lambda c: min(dist(points[c], other) for other in chosen))
        else:
            best = min(left, key=lambda c: sum(dist(points[c], points[other]) for other in left))
        left.remove(best)
        found.append(best)
        chosen.append(points[best])
    return tuple(found)


def _coordinates(configs: Sequence[Config]) -> list[tuple[float, ...]]:
    names = sorted({name for config in configs for name, _ in config.meta})
    columns = [_scale([config.meta_dict.get(name) for config in configs]) for name in names]
    columns.append(_scale([config.num_warps for config in configs]))
    columns.append(_scale([config.num_stages for config in configs]))
    columns.append(_scale([config.num_ctas for config in configs]))
    columns.append(_scale([config.maxnreg for config in configs]))
    columns.append(_scale([config.pre_hook for config in configs]))
    return list(zip(*columns, strict=True))


def _scale(values: Sequence[MetaValue]) -> list[float]:
    """Each value between 0 and 1: positive numbers by their logarithm, others by their order."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values) and all(number > 0 for number in numbers):
        placed = [log2(number) for number in numbers]
    else:
        order = sorted(set(values), key=repr)
        placed = [float(order.index(value)) for value in values]
    low, high = min(placed, default=0.0), max(placed, default=0.0)
    return [0.0 if high == low else (value - low) / (high - low) for value in placed]
