"""Measurements: what was timed on a GPU, under which conditions, and what was decided of it.

Times are device times in µs, one entry a call. Everything in here has the origin *measured*, on
the GPU that `MeasuredGpu` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class MeasuredGpu:
    """The card and the software that numbers were taken with. None: not told by the driver."""

    name: str
    compute_capability: tuple[int, int]
    sm_count: int
    memory_bytes: int
    l2_bytes: int | None = None
    uuid: str | None = None
    driver: str | None = None
    cuda: str | None = None
    torch: str | None = None
    triton: str | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """State of the card around a burst, as NVML tells it; None where it does not."""

    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Burst:
    """Consecutive timed calls of one program in one worker process, L2 cold before each.

    `order` is the place in the whole run: bursts of lower order ran earlier. `wall_us` is the
    main process's own clock around the burst, which the worker cannot forge: the sum of
    `times_us` never exceeds it honestly.
    """

    program: str
    worker: int
    order: int
    times_us: tuple[float, ...]
    wall_us: float
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class BurstPair:
    """Bursts of parent and candidate that ran next to each other, in random order."""

    parent: Burst
    candidate: Burst


class Outcome(StrEnum):
    """What timings say of a candidate."""

    ACCEPT = "accept"
    KEEP = "keep the parent"
    UNSTABLE = "unstable"  # the interval of the gain reaches into the noise


@dataclass(frozen=True, slots=True)
class Comparison:
    """A decision on a candidate, from its pairs with the parent.

    `gain_pct` is parent time over candidate time, minus one, in percent: 25 means 1.25 times as
    fast. `interval_pct` holds it with the given confidence. `noise_floor_pct` is the gain that
    identical programs show (A/A); `threshold_pct` what the request asks for at least.
    `tried` counts the candidates among which this one was chosen. Numbers that the samples do
    not give (too few of them, a time that is no number) are None.
    """

    outcome: Outcome
    gain_pct: float | None
    interval_pct: tuple[float, float] | None
    confidence: float
    noise_floor_pct: float | None
    threshold_pct: float
    tried: int
    pairs: int
    reason: str
    parent_us: float | None = None
    candidate_us: float | None = None
