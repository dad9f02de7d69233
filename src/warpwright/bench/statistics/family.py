"""Many candidates: who is screened again, who is a finalist, and which of those wins.

Screening only chooses. What it measured is never part of a decision, so the luck that made a
candidate look best does not help it on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from warpwright.bench.statistics.budget import Budget
from warpwright.bench.statistics.decide import CONFIDENCE, decide
from warpwright.bench.statistics.gain import centres, percent
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM, Minimum
from warpwright.bench.statistics.samples import fault_among, groups_of
from warpwright.types.measurement import BurstPair, Comparison, Outcome

NEAR = 4
"""Times the margin of finalists: who lies further from the best is not it by bad luck."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A comparison for each finalist, by name, and the one that takes the parent's place."""

    comparisons: Mapping[str, Comparison]
    chosen: str | None

    @property
    def undecided(self) -> bool:
        """Whether more timings could find a gain: one is large enough, but not clear of the noise.

        Then, and only then, a plan goes on to its next look.
        """
        unstable = (c.outcome is Outcome.UNSTABLE for c in self.comparisons.values())
        return self.chosen is None and any(unstable)


def screened_gain_pct(pairs: Sequence[BurstPair]) -> float | None:
    """The gain that screening shows; None where its timings are of no use."""
    if fault_among(pairs) is not None:
        return None
    found = centres(groups_of(pairs))
    return None if found is None else percent(fmean(found))


def choose_again(screened: Mapping[str, Sequence[BurstPair]], budget: Budget) -> list[str]:
    """Who is screened once more, in other workers; nobody where the order is clear enough.

    A gain seen in one process alone is not known to be the program's, so those near the best are
    screened twice. Where the error of a gain then exceeds half the margin of finalists, luck makes
    the order, and the better half goes on. (Halving the candidates and sharing out the time finds
    the best of noisy ones at nearly the least cost: Z. Karnin, T. Koren, O. Somekh, "Almost Optimal
    Exploration in Multi-Armed Bandits", ICML 2013.)
    """
    left = _most_screened(screened)
    ranked = _ranked(left, margin_pct=NEAR * budget.finalist_margin_pct)
    if len(ranked) < 2:
        return []
    error_pct = screening_error_pct([left[name] for name in ranked])
    if error_pct is not None and error_pct <= budget.finalist_margin_pct / 2:
        return []
    return ranked[: max(2, budget.finalists, math.ceil(len(ranked) / 2))]


def screening_error_pct(screened: Sequence[Sequence[BurstPair]]) -> float | None:
    """The standard error of a gain, from what screenings of the same candidates differ by.

    What shifts a whole screening (the parent's worker) does not count: it leaves the order. None
    with one screening, or one candidate.
    """
    rows = [[median(r) for group in groups_of(pairs) for r in group] for pairs in screened]
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    gains = np.array(rows)
    candidates, screenings = gains.shape
    own = gains.mean(axis=1, keepdims=True)
    shift = gains.mean(axis=0, keepdims=True)
    left = gains - own - shift + gains.mean()
    freedom = (candidates - 1) * (screenings - 1)
    return percent(math.sqrt(float((left**2).sum()) / freedom / screenings))


def choose_finalists(screened: Mapping[str, Sequence[BurstPair]], budget: Budget) -> list[str]:
    """The fastest of those that were screened most often, best first.

    As many as the budget has room for, of those that lie within its margin of the best (a weaker
    one would only cost the others time and confidence) and not below the parent by more than that
    (all are screened against one worker of the parent's, which may be a lucky one).
    """
    ranked = _ranked(_most_screened(screened), margin_pct=budget.finalist_margin_pct)
    return ranked[: budget.finalists]


def _most_screened(screened: Mapping[str, Sequence[BurstPair]]) -> dict[str, Sequence[BurstPair]]:
    """Who went on to the last screening: the gains of the others are of fewer timings, and higher
    by luck than theirs."""
    most = max(map(len, screened.values()), default=0)
    return {name: pairs for name, pairs in screened.items() if len(pairs) == most}


def _ranked(screened: Mapping[str, Sequence[BurstPair]], margin_pct: float) -> list[str]:
    """By gain, best first: those at most so much slower than the best, and than the parent."""
    gains = {name: screened_gain_pct(pairs) for name, pairs in screened.items()}
    speeds = {name: 1 + gain / 100 for name, gain in gains.items() if gain is not None}
    slowest = max(1.0, *speeds.values()) * (1 - margin_pct / 100) if speeds else 1.0
    return sorted((n for n, speed in speeds.items() if speed >= slowest), key=lambda n: -speeds[n])


def decide_finalists(
    finalists: Mapping[str, Sequence[BurstPair]],
    same: Sequence[BurstPair],
    *,
    minimum: Minimum = DEFAULT_MINIMUM,
    tried: int,
    looks: int = 1,
    confidence: float = CONFIDENCE,
) -> Verdicts:
    """Decide on every finalist from fresh pairs; the largest accepted gain is chosen.

    `tried` counts all candidates that were screened, `looks` how often a plan looks at its timings
    at the most. All intervals hold together with `confidence`, so that of the chosen one holds
    although it was chosen by its gain, and when there are enough timings for it.
    """
    comparisons = {
        name: decide(
            pairs,
            same,
            minimum=minimum,
            tried=tried,
            finalists=len(finalists),
            looks=looks,
            confidence=confidence,
        )
        for name, pairs in finalists.items()
    }
    gains = {
        name: comparison.gain_pct
        for name, comparison in comparisons.items()
        if comparison.outcome is Outcome.ACCEPT and comparison.gain_pct is not None
    }
    return Verdicts(comparisons, max(gains, key=lambda name: gains[name], default=None))
