"""Bursts of many contenders → the rows of `bench`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from warpwright.bench.statistics.gain import Groups, estimate, interval_of
from warpwright.bench.statistics.samples import fault_of, groups_of, timer_uncertainty
from warpwright.types.bench import BenchBurst, BenchRow
from warpwright.types.measurement import Burst, BurstPair

CONFIDENCE = 0.95


def bench_rows(
    labels: Sequence[str], bursts: Sequence[BenchBurst], failures: Mapping[str, str]
) -> list[BenchRow]:
    """A row for each label, in order; the first is what the others are compared with.

    Intervals are those of docs/deciding.md, each by itself: of many rows some miss by chance.
    """
    rows = []
    for label in labels:
        own = [entry for entry in bursts if entry.burst.program == label]
        fault = failures.get(label) or _fault(own)
        if fault is not None:
            rows.append(BenchRow(label, failed=fault))
            continue
        speed = (None, None) if label == labels[0] else _speedup(labels[0], label, bursts)
        rows.append(BenchRow(label, *_time_us(own), *speed))
    return rows


def _fault(own: Sequence[BenchBurst]) -> str | None:
    if not own:
        return "it was not timed"
    return next((fault for entry in own if (fault := fault_of(entry.burst))), None)


def _time_us(own: Sequence[BenchBurst]) -> tuple[float, tuple[float, float] | None]:
    """Time of a call and its interval: of the logarithms, as for ratios."""
    logs = _logs_by_group(own)
    found = estimate(logs)
    if found is None:
        return math.exp(fmean(median(group[0]) for group in logs)), None
    low, high = found.interval(CONFIDENCE)
    return math.exp(found.log_gain), (math.exp(low), math.exp(high))


def _logs_by_group(own: Sequence[BenchBurst]) -> Groups:
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for entry in sorted(own, key=lambda entry: entry.burst.order):
        groups[entry.group].append(math.log(median(entry.burst.times_us)))
    return [[logs] for logs in groups.values()]


def _speedup(
    first: str, label: str, bursts: Sequence[BenchBurst]
) -> tuple[float | None, tuple[float, float] | None]:
    pairs = pairs_of(first, label, bursts)
    if any(fault_of(pair.parent) for pair in pairs):
        return None, None
    found = interval_of(groups_of(pairs), CONFIDENCE, timer_uncertainty(pairs))
    if found is None:
        return None, None
    low, high = (1 + bound / 100 for bound in (found.low_pct, found.high_pct))
    return 1 + found.gain_pct / 100, (low, high)


def pairs_of(first: str, label: str, bursts: Sequence[BenchBurst]) -> list[BurstPair]:
    """Bursts of two contenders in the same round."""
    rounds: defaultdict[tuple[int, int], dict[str, Burst]] = defaultdict(dict)
    for entry in bursts:
        rounds[entry.group, entry.round][entry.burst.program] = entry.burst
    return [
        BurstPair(ran[first], ran[label])
        for ran in rounds.values()
        if first in ran and label in ran
    ]
