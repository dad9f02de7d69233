"""Many candidates: who is measured again, and which of those wins.

Screening only chooses. What it measured is never part of a decision, so the luck that made a
candidate look best does not help it on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from warpwright.measure.budget import Budget
from warpwright.measure.decide import CONFIDENCE, decide
from warpwright.measure.gain import centres, percent
from warpwright.measure.minimum import DEFAULT_MINIMUM, Minimum
from warpwright.measure.samples import fault_among, groups_of
from warpwright.types.measurement import BurstPair, Comparison, Outcome


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A comparison for each finalist, by name, and the one that takes the parent's place."""

    comparisons: Mapping[str, Comparison]
    chosen: str | None


def screened_gain_pct(pairs: Sequence[BurstPair]) -> float | None:
    """The gain that screening shows; None where its timings are of no use."""
    if fault_among(pairs) is not None:
        return None
    found = centres(groups_of(pairs))
    return None if found is None else percent(fmean(found))


def choose_finalists(screened: Mapping[str, Sequence[BurstPair]], budget: Budget) -> list[str]:
    """The fastest of the screened, best first.

    As many as the budget has room for, of those that lie within its margin of the best (a weaker
    one would only cost the others time and confidence) and not below the parent by more than that
    (all are screened against one worker of the parent's, which may be a lucky one).
    """
    margin = budget.finalist_margin_pct
    gains = {name: screened_gain_pct(pairs) for name, pairs in screened.items()}
    usable = {name: gain for name, gain in gains.items() if gain is not None and gain > -margin}
    ranked = sorted(usable, key=lambda name: -usable[name])
    near = [name for name in ranked if usable[name] >= usable[ranked[0]] - margin]
    return near[: budget.finalists]


def decide_finalists(
    finalists: Mapping[str, Sequence[BurstPair]],
    same: Sequence[BurstPair],
    *,
    minimum: Minimum = DEFAULT_MINIMUM,
    tried: int,
    confidence: float = CONFIDENCE,
) -> Verdicts:
    """Decide on every finalist from fresh pairs; the largest accepted gain is chosen.

    `tried` counts all candidates that were screened. All intervals hold together with
    `confidence`, so that of the chosen one holds although it was chosen by its gain.
    """
    comparisons = {
        name: decide(
            pairs,
            same,
            minimum=minimum,
            tried=tried,
            finalists=len(finalists),
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
