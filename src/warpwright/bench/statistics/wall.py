"""Does the main process's own clock see the time that a candidate claims to save?

A worker can forge the times it reports, but not how long its bursts take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from warpwright.bench.statistics.gain import student_quantile
from warpwright.types.measurement import BurstPair

CONFIDENCE = 0.999
MISSING_SHARE = 0.5  # of the claimed saving
HOST_ALLOWANCE_US = 100.0
"""A call: launching one honest program may take the host this much longer than another, and the
device is held back for as long before each timed call. Nothing finer is told by this check."""


def missing_saving_us(pairs: Sequence[BurstPair], confidence: float = CONFIDENCE) -> float | None:
    """The part of the claimed saving that our clock surely does not see, in µs a burst; 0 at least.

    Claimed: the parent's times minus the candidate's, summed over a burst. Seen: the same of the
    wall clock. One-sided Student bound over pairs. None with fewer than three pairs.
    """
    missing = [_claimed_us(pair) - (pair.parent.wall_us - pair.candidate.wall_us) for pair in pairs]
    if len(missing) < 3:
        return None
    centre = median(missing)
    # About the median, with the spread that it has in a normal sample (π/2 of the mean's variance).
    spread = math.sqrt(fmean((value - centre) ** 2 for value in missing) * math.pi / 2)
    half = student_quantile(confidence, len(missing) - 1) * spread / math.sqrt(len(missing) - 1)
    return max(0.0, centre - half)


def is_saving_missing(pairs: Sequence[BurstPair]) -> bool | None:
    """Whether over half of a claimed saving is surely not seen; None: too few pairs to tell.

    Bursts of unequal length say nothing here: the calls must be as many on both sides.
    """
    same = [p for p in pairs if len(p.parent.times_us) == len(p.candidate.times_us)]
    missing = missing_saving_us(same)
    if missing is None:
        return None
    claimed = median(map(_claimed_us, same))
    allowed = HOST_ALLOWANCE_US * median(len(pair.parent.times_us) for pair in same)
    return claimed > 0 and missing > max(MISSING_SHARE * claimed, allowed)


def _claimed_us(pair: BurstPair) -> float:
    return sum(pair.parent.times_us) - sum(pair.candidate.times_us)
