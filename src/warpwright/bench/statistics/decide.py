"""Samples → decision on one candidate. The rule and its reasons: docs/deciding.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.bench.statistics.gain import Interval, interval_of, noise_floor_pct
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM, Minimum
from warpwright.bench.statistics.samples import (
    burst_median_us,
    fault_among,
    groups_of,
    timer_uncertainty,
)
from warpwright.bench.statistics.wall import is_saving_missing
from warpwright.data.predicates import gain_counts, is_unstable
from warpwright.types.measurement import BurstPair, Comparison, Outcome

CONFIDENCE = 0.98
"""Of the intervals of all finalists and looks together: identical programs pass by chance in one
of 100 families at the most, before the minimum gain is asked for."""
MIN_GROUPS = 2
"""Groups of workers without which nothing is known of what differs between processes."""


def decide(
    pairs: Sequence[BurstPair],
    same: Sequence[BurstPair],
    *,
    minimum: Minimum = DEFAULT_MINIMUM,
    tried: int = 1,
    finalists: int = 1,
    looks: int = 1,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Accept a candidate, keep the parent, or call the gain unstable.

    `pairs` hold parent and candidate, `same` parent and parent in another worker of the same run
    (A/A). Both must be fresh: taken after the candidate was chosen among the `tried`. Of several
    `finalists` each gets its share of the error, and so does each of the `looks` that the plan
    has at the timings (Bonferroni), so all intervals hold at once.
    """
    own = 1 - (1 - confidence) / (finalists * looks)
    counted = _Context(minimum, tried, own, len(pairs))
    fault = fault_among([*pairs, *same])
    if fault is not None:
        return counted.kept(f"the timings are of no use: {fault}")
    found = interval_of(groups_of(pairs), own, timer_uncertainty(pairs))
    if found is None or found.groups < MIN_GROUPS:
        return counted.kept(
            "too few timings: at least two groups of workers are needed, with four rounds each"
        )
    floor_pct = noise_floor_pct(groups_of(same))
    if floor_pct is None:
        return counted.kept("no A/A run, or one too short: the noise is not known", found)
    return _judged(pairs, found, floor_pct, counted)


@dataclass(frozen=True, slots=True)
class _Context:
    """What every comparison states, whatever comes out."""

    minimum: Minimum
    tried: int
    confidence: float
    pairs: int

    def kept(self, reason: str, found: Interval | None = None) -> Comparison:
        return self.comparison(Outcome.KEEP, reason, found, None)

    def comparison(
        self,
        outcome: Outcome,
        reason: str,
        found: Interval | None,
        floor_pct: float | None,
        medians_us: tuple[float, float] | None = None,
    ) -> Comparison:
        return Comparison(
            outcome=outcome,
            gain_pct=None if found is None else found.gain_pct,
            interval_pct=None if found is None else (found.low_pct, found.high_pct),
            confidence=self.confidence,
            noise_floor_pct=floor_pct,
            threshold_pct=self.minimum.low_pct,
            tried=self.tried,
            pairs=self.pairs,
            reason=reason,
            parent_us=None if medians_us is None else medians_us[0],
            candidate_us=None if medians_us is None else medians_us[1],
        )


def _judged(
    pairs: Sequence[BurstPair], found: Interval, floor_pct: float, counted: _Context
) -> Comparison:
    unstable = is_unstable(found.low_pct, found.high_pct, floor_pct)
    significant = not unstable and found.gain_pct > 0
    minimum = counted.minimum
    counts = gain_counts(
        found.gain_pct,
        low_pct=minimum.low_pct,
        high_pct=minimum.high_pct,
        is_significant=significant,
    )
    shown = f"{found.gain_pct:+.2f} % [{found.low_pct:+.2f}, {found.high_pct:+.2f}]"
    noise = f"the noise of ±{floor_pct:.2f} %"
    if significant and counts and is_saving_missing(pairs):
        outcome, reason = Outcome.KEEP, f"{shown} was reported, but our own clock does not see it"
    elif significant and counts:
        outcome, reason = Outcome.ACCEPT, f"{shown} is outside {noise}"
    elif significant:
        outcome, reason = Outcome.KEEP, f"{shown} is under the least gain, {minimum.low_pct:g} %"
    elif found.gain_pct >= minimum.low_pct and found.gain_pct > 0:
        outcome, reason = Outcome.UNSTABLE, f"{shown} reaches into {noise}"
    elif unstable:
        outcome, reason = Outcome.KEEP, f"no significant gain: {shown}, with {noise}"
    else:
        outcome, reason = Outcome.KEEP, f"slower than the parent: {shown}"
    medians_us = (
        burst_median_us([pair.parent for pair in pairs]),
        burst_median_us([pair.candidate for pair in pairs]),
    )
    return counted.comparison(outcome, reason, found, floor_pct, medians_us)
