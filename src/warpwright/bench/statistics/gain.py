"""The gain that paired timings show, and its standard error: the formulae of docs/deciding.md.

Standard library only, and nothing of Warpwright: `report/verify_script.py` copies this file as it
stands into the scripts that check an answer on another machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median, variance

RESAMPLES = 200  # of the block bootstrap; they give a standard error to within 5 %
MIN_ROUNDS = 4  # fewer ratios than this have no spread worth the name
LARGEST_LOG = 700.0  # e to the power of more overflows
SEED = 20261124  # of the resampling, so that equal samples give equal decisions

Groups = Sequence[Sequence[Sequence[float]]]
"""Groups of workers that share no process → worker pairs → ln(parent / candidate) in time order."""


@dataclass(frozen=True)
class Estimate:
    """ln(parent time / candidate time), its standard error and the degrees of freedom of that.

    `groups` counts the groups of workers that share no process; with one group the error knows
    nothing of what differs from process to process.
    """

    log_gain: float
    standard_error: float
    degrees: int
    groups: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided Student interval of the log gain."""
        half = student_quantile(0.5 + confidence / 2, self.degrees) * self.standard_error
        return self.log_gain - half, self.log_gain + half


@dataclass(frozen=True)
class Interval:
    """A gain in percent, and the interval that holds it."""

    gain_pct: float
    low_pct: float
    high_pct: float
    groups: int


def estimate(groups: Groups) -> Estimate | None:
    """The gain over groups of worker pairs, each the log ratios in the order in which they ran.

    The standard error is the larger of two: that between groups (they alone see what differs from
    process to process), and that of a block bootstrap within them. None as for `centres`.
    """
    middles = centres(groups)
    if middles is None:
        return None
    # Pairs of one group share a worker, so their errors may be one and the same: no averaging out.
    within = sum(fmean(map(median_variance, group)) for group in groups) / len(groups) ** 2
    if len(groups) == 1:
        blocks = min(len(pair) // block_length(len(pair)) for pair in groups[0])
        return Estimate(middles[0], math.sqrt(within), blocks - 1, 1)
    between = variance(middles) / len(groups)
    error = math.sqrt(max(between, within))
    return Estimate(fmean(middles), error, len(groups) - 1, len(groups))


def centres(groups: Groups) -> list[float] | None:
    """The log gain of each group: the mean over its worker pairs of the median of their ratios.

    None where a worker pair has under `MIN_ROUNDS` ratios, or where one is no number.
    """
    pairs = [pair for group in groups for pair in group]
    if not pairs or any(len(pair) < MIN_ROUNDS for pair in pairs):
        return None
    if not all(math.isfinite(ratio) for pair in pairs for ratio in pair):
        return None
    return [fmean(map(median, group)) for group in groups]


def median_variance(ratios: Sequence[float]) -> float:
    """Variance of the median of ratios in time order, by a circular block bootstrap.

    Neighbours in time resemble each other (clocks, heat), so blocks of them are drawn, not single
    ratios: H. R. Künsch, Annals of Statistics 17(3), 1989; circular: D. N. Politis and
    J. P. Romano, in "Exploring the Limits of Bootstrap", 1992.
    """
    medians = [median([ratios[i] for i in drawn]) for drawn in _draws(len(ratios))]
    centre = fmean(medians)
    return fmean((value - centre) ** 2 for value in medians)  # pvariance's exactness costs 5 times


def block_length(rounds: int) -> int:
    """Ratios a block: n^(1/3) is of the order that P. Hall, J. L. Horowitz and B.-Y. Jing
    (Biometrika 82(3), 1995) find best for a variance; 2 at least, since rounds come in twos."""
    return max(2, round(math.cbrt(rounds)))


@lru_cache(maxsize=64)
def _draws(count: int) -> tuple[tuple[int, ...], ...]:
    length = block_length(count)
    generator = random.Random(SEED)
    draws = []
    for _ in range(RESAMPLES):
        starts = [generator.randrange(count) for _ in range(-(-count // length))]
        places = [(start + step) % count for start in starts for step in range(length)]
        draws.append(tuple(places[:count]))
    return tuple(draws)


@lru_cache(maxsize=256)
def student_quantile(probability: float, degrees: int) -> float:
    """The t below which a Student variable lies with this probability (over 0.5).

    By bisection of the distribution's closed form for whole degrees of freedom: M. Abramowitz and
    I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, 1.0
    while student_probability(high, degrees) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if student_probability(middle, degrees) < probability else (low, middle)
        )
    return high


def student_probability(t: float, degrees: int) -> float:
    """P(T ≤ t) of Student's distribution, t ≥ 0, whole degrees of freedom."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = total = cosine if degrees % 2 else 1.0
    for power in range(3 if degrees % 2 else 2, degrees, 2):
        term *= cosine * cosine * (power - 1) / power
        total += term
    if degrees == 1:
        total = 0.0
    inner = (angle + sine * total) * 2 / math.pi if degrees % 2 else sine * total
    return 0.5 + inner / 2


def timer_step_us(times_us: Sequence[float]) -> float:
    """The smallest difference between two times: no less than the timer's own step, 0 if all are
    equal. A median of times is known no better than this."""
    distinct = sorted(set(times_us))
    return min((b - a for a, b in pairwise(distinct)), default=0.0)


def interval_of(groups: Groups, confidence: float, timer_step: float = 0.0) -> Interval | None:
    """The gain and its interval, wider by `timer_step` (relative to the time) on either side."""
    found = estimate(groups)
    if found is None:
        return None
    low, high = found.interval(confidence)
    bounds = percent(low - timer_step), percent(high + timer_step)
    return Interval(percent(found.log_gain), *bounds, found.groups)


def noise_floor_pct(same: Groups) -> float | None:
    """The gain that the same program shows over itself (A/A), as an absolute percentage.

    Where the gain of the run happens to lie nearer to zero than its standard error, that.
    """
    found = estimate(same)
    if found is None:
        return None
    return percent(max(abs(found.log_gain), found.standard_error))


def percent(log_gain: float) -> float:
    """ln(parent/candidate) as a gain in percent."""
    return 100.0 * math.expm1(log_gain) if log_gain < LARGEST_LOG else math.inf
