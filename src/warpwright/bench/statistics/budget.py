"""How much is measured: all numbers that trade time against certainty, in frozen profiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FLUSH_US = 100.0
"""Clearing the L2 before a call; 50 to 100 µs on an H100."""
LEFT_AFTER_OPENING = 0.6
"""Of the whole time: what opening leaves to the steps after it."""
LEFT_AFTER_WAYS = 0.75  # lists of moves; what refines the best of them comes after
LEFT_AFTER_OWN_CONFIGS = 0.68  # under which of its configs that best is fastest
LEFT_AFTER_MOVES = 0.6
LEFT_AFTER_CONFIGS = 0.48
LEFT_AFTER_JUDGING = 0.4  # outputs of those that are fastest
LEFT_AFTER_VERIFYING = 0.2
"""Of the time that is left when all is open: what a step leaves to those after it. Each ends then,
with what it has; what one does not use is for all that follow."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A profile.

    A *round* is one burst of every program. Screening times a candidate against the parent in one
    worker each; where that turns out noisy, the better half is screened again, `screenings` times
    in all at most. The finalists are timed in groups of new workers: a group has two for the
    parent (A/A) and one for each finalist, and its own `rounds`. After so many groups as each of
    `looks` says, it is asked whether the timings decide; the last number is the end.
    """

    name: str
    candidates: int  # new configs a kernel that are screened, at most
    screening_rounds: int
    screenings: int
    screening_burst_us: float  # what the calls of a burst should take together
    finalists: int
    finalist_margin_pct: float
    looks: tuple[int, ...]
    rounds: int
    burst_us: float
    warm_up_us: float  # before the first burst of a worker
    min_calls: int = 3
    max_calls: int = 50
    wall_s: float = 300.0  # by the clock, from the request to the answer
    apart: bool = True  # whether what device time does not hold is measured too
    every_kind: bool = True  # whether each config sees every kind of data at full size, or two

    def __post_init__(self) -> None:
        if self.screening_rounds % 2 or self.rounds % 2:
            raise ValueError("rounds come in twos: an order and its reverse")
        if not self.looks or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks are numbers of groups that grow: {self.looks}")

    @property
    def groups(self) -> int:
        """Groups of workers at the most."""
        return self.looks[-1]

    def screening_calls(self, call_us: float) -> int:
        """Calls a burst in screening, for a program of this time a call."""
        return self._calls(self.screening_burst_us, call_us)

    def calls(self, call_us: float) -> int:
        """Calls a burst for the finalists."""
        return self._calls(self.burst_us, call_us)

    def _calls(self, burst_us: float, call_us: float) -> int:
        if not (math.isfinite(call_us) and call_us > 0):
            raise ValueError(f"not the time of a call: {call_us} µs")
        return min(self.max_calls, max(self.min_calls, math.ceil(burst_us / call_us)))


QUICK = Budget(
    name="quick",
    candidates=8,
    screening_rounds=4,
    screenings=1,
    screening_burst_us=10_000,
    finalists=1,
    finalist_margin_pct=1.0,
    looks=(2, 4),
    rounds=4,
    burst_us=15_000,
    warm_up_us=30_000,
    wall_s=60.0,
    apart=False,
    every_kind=False,
)
NORMAL = Budget(
    name="normal",
    candidates=40,
    screening_rounds=6,
    screenings=5,
    screening_burst_us=14_000,
    finalists=2,
    finalist_margin_pct=1.0,
    looks=(6, 16),
    rounds=10,
    burst_us=20_000,
    warm_up_us=50_000,
)
THOROUGH = Budget(
    name="thorough",
    candidates=120,
    screening_rounds=12,
    screenings=5,
    screening_burst_us=20_000,
    finalists=3,
    finalist_margin_pct=2.0,
    looks=(10, 24),
    rounds=16,
    burst_us=40_000,
    warm_up_us=100_000,
    wall_s=2700.0,
)
BUDGETS = {budget.name: budget for budget in (QUICK, NORMAL, THOROUGH)}
LEAST_S = 20.0  # starting the processes takes most of that


def budget_of(effort: str) -> Budget | None:
    """The budget of a name, or of so many seconds by the clock: then the largest one that would
    take no longer is stretched to it, and the smallest one cut. None where it is neither."""
    if effort in BUDGETS:
        return BUDGETS[effort]
    try:
        wall_s = float(effort)
    except ValueError:
        return None
    if not LEAST_S <= wall_s < math.inf:
        return None
    fitting = [budget for budget in BUDGETS.values() if budget.wall_s <= wall_s]
    usual = max(fitting, key=lambda budget: budget.wall_s, default=QUICK)
    return replace(usual, name=f"{wall_s:g} s", wall_s=wall_s)
