"""Pairs of bursts as numbers: log ratios, in groups of workers that share no process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from warpwright.bench.statistics.gain import Groups, timer_step_us
from warpwright.types.measurement import Burst, BurstPair

CLOCKS_AGREE = 1.01
"""A burst's times may add up to this much of the main process's own clock: no two clocks agree
exactly, and a crystal is off by under 100 parts in a million."""


def fault_of(burst: Burst) -> str | None:
    """Why the times of a burst cannot be true, or None."""
    if not burst.times_us:
        return "a burst holds no times"
    if not (all(map(math.isfinite, burst.times_us)) and min(burst.times_us) > 0):
        return "a time is not a positive number"
    if not (math.isfinite(burst.wall_us) and burst.wall_us > 0):
        return "the clock around a burst shows no positive number"
    if sum(burst.times_us) > CLOCKS_AGREE * burst.wall_us:
        return "the times of a burst add up to more than passed on our own clock"
    return None


def fault_among(pairs: Sequence[BurstPair]) -> str | None:
    """The first fault of any burst, or None."""
    bursts = (burst for pair in pairs for burst in (pair.parent, pair.candidate))
    return next((fault for burst in bursts if (fault := fault_of(burst))), None)


def log_ratio(pair: BurstPair) -> float:
    """ln of parent's burst median over the candidate's."""
    return math.log(median(pair.parent.times_us)) - math.log(median(pair.candidate.times_us))


def groups_of(pairs: Sequence[BurstPair]) -> Groups:
    """Log ratios by worker pair, and worker pairs that share a worker in one group."""
    by_workers: defaultdict[tuple[int, int], list[BurstPair]] = defaultdict(list)
    for pair in pairs:
        by_workers[pair.parent.worker, pair.candidate.worker].append(pair)
    joined: list[tuple[set[int], list[tuple[int, int]]]] = []
    for workers in by_workers:
        near = [entry for entry in joined if entry[0] & set(workers)]
        joined = [entry for entry in joined if entry not in near]
        members = set(workers).union(*(entry[0] for entry in near))
        joined.append((members, [*(key for entry in near for key in entry[1]), workers]))
    return tuple(
        tuple(
            tuple(map(log_ratio, sorted(by_workers[key], key=lambda pair: pair.parent.order)))
            for key in keys
        )
        for _, keys in joined
    )


def timer_uncertainty(pairs: Sequence[BurstPair]) -> float:
    """How far a log ratio may be off because the timer has steps: one step of the shorter time.

    Half a step for either median.
    """
    times = [
        time for pair in pairs for burst in (pair.parent, pair.candidate) for time in burst.times_us
    ]
    return timer_step_us(times) / min(times) if times else 0.0


def burst_median_us(bursts: Sequence[Burst]) -> float:
    """Median of the burst medians."""
    return median(median(burst.times_us) for burst in bursts)
