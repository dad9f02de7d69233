"""The gain that a request asks for at least."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.stage import Stage


@dataclass(frozen=True, slots=True)
class Minimum:
    """Under `low_pct` the parent stays; from there to `high_pct` unless the gain is significant.

    A gain that is not significant is never taken, whatever its size, so `low_pct` is what counts.
    """

    low_pct: float
    high_pct: float

    def __post_init__(self) -> None:
        if not 0 <= self.low_pct <= self.high_pct:
            raise ValueError(f"not a minimum: {self.low_pct} to {self.high_pct} %")


DEFAULT_MINIMUM = Minimum(1.0, 2.0)
"""Where a request is silent: the wording of the stages that do say a number."""


def minimum_of(stage: Stage) -> Minimum:
    """What the stage's `gain.minimum` says, else the default."""
    rule = stage.rule("gain.minimum")
    if rule is None:
        return DEFAULT_MINIMUM
    low, high = rule.parameters["low_pct"], rule.parameters["high_pct"]
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise TypeError("gain.minimum has bounds that are not numbers")
    return Minimum(float(low), float(high))
