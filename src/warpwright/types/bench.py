"""Programs timed against each other, and against PyTorch's own ways to run the problem."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.measurement import Burst, MeasuredGpu
from warpwright.types.verdict import ErrorMeasure


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One contender. Times are device times in µs a call, L2 cold.

    `speedup` is the first program's time over this one's, from bursts of the same round: 1.25 means
    that this one needs four fifths of the time. `error` is against float64 on the problem's own
    inputs. A number that was not measured is None; `failed` says why there are none at all.
    """

    label: str
    median_us: float | None = None
    interval_us: tuple[float, float] | None = None
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    error: ErrorMeasure | None = None
    error_unknown: str | None = None  # why there is no error
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class BenchBurst:
    """A burst with its place: bursts of one group and round ran next to each other."""

    group: int
    round: int
    burst: Burst


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Rows in the order in which the contenders were named, and every time that was taken.

    `gpu` is None where the programs ran in Triton's interpreter on the CPU: such times say nothing
    of any GPU. `seed` made the inputs of the accuracy case.
    """

    rows: tuple[BenchRow, ...]
    bursts: tuple[BenchBurst, ...]
    confidence: float
    groups: int
    rounds: int
    seed: int
    gpu: MeasuredGpu | None = None
    notes: tuple[str, ...] = ()
