"""Pairs of bursts made up for a test: every time is the caller's."""

from __future__ import annotations

import random
from collections.abc import Sequence

from warpwright.types.measurement import Burst, BurstPair

OVERHEAD_US = 500.0


def burst(
    program: str, worker: int, order: int, times_us: Sequence[float], wall_us: float | None = None
) -> Burst:
    """A burst whose wall clock is honest unless it is given."""
    wall = sum(times_us) + OVERHEAD_US if wall_us is None else wall_us
    return Burst(program, worker, order, tuple(times_us), wall)


def pairs(
    ratio: float,
    *,
    seed: int,
    groups: int = 6,
    rounds: int = 10,
    noise: float = 0.002,
    worker_noise: float = 0.001,
    first_worker: int = 0,
    scale: float = 1.0,
) -> list[BurstPair]:
    """Parent over candidate is `ratio`, each group with two workers of its own."""
    generator = random.Random(seed)
    made = []
    for group in range(groups):
        offset = generator.gauss(0, worker_noise)
        for number in range(rounds):
            order = 2 * (group * rounds + number)

            def times(base: float) -> list[float]:
                return [scale * base * (1 + generator.gauss(0, noise)) for _ in range(5)]

            parent = burst("parent", first_worker + 2 * group, order, times(2000.0))
            other = burst(
                "candidate",
                first_worker + 2 * group + 1,
                order + 1,
                times(2000.0 * (1 + offset) / ratio),
            )
            made.append(BurstPair(parent, other))
    return made


def swapped(given: Sequence[BurstPair]) -> list[BurstPair]:
    return [BurstPair(pair.candidate, pair.parent) for pair in given]
