"""Times of calls on the device: interleaved bursts, each call with a cold L2.

Before each call 256 MB are written, and the device spins as long as issuing the call takes the
host, so that a time is the device's alone: from the event before the call's first kernel to the
event after its last one, gaps between its kernels included.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

from conv2d_bench.contenders import Contender

FLUSH_BYTES = 256 * 1024**2
SPIN_CYCLES_PER_US = 1_900  # the highest clock of the cards that this runs on, so rather too long
MIN_CALLS, MAX_CALLS = 3, 30


@dataclass
class Times:
    """All bursts of a contender, each the device times (µs) of its calls."""

    label: str
    bursts: list[list[float]] = field(default_factory=list)

    @property
    def medians(self) -> list[float]:
        return [median(burst) for burst in self.bursts]

    @property
    def median_us(self) -> float:
        return median(self.medians)


class Timer:
    """Holds the buffer that clears the L2."""

    def __init__(self) -> None:
        self._flush = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")

    def burst(self, contender: Contender, calls: int, spin_us: float) -> list[float]:
        torch.backends.cudnn.benchmark = contender.benchmark
        events = [
            (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            for _ in range(calls)
        ]
        for before, after in events:
            self._flush.zero_()
            torch.cuda._sleep(int(spin_us * SPIN_CYCLES_PER_US))
            before.record()
            contender.call(contender.x)
            after.record()
        torch.cuda.synchronize()
        return [before.elapsed_time(after) * 1e3 for before, after in events]

    def warm_up(self, contender: Contender) -> tuple[float, float]:
        """First call (autotune, compile), a few more; the time of a call and of issuing it, µs."""
        torch.backends.cudnn.benchmark = contender.benchmark
        for _ in range(3):
            contender.call(contender.x)
        torch.cuda.synchronize()
        issued = []
        for _ in range(5):
            begun = time.perf_counter()
            contender.call(contender.x)
            issued.append((time.perf_counter() - begun) * 1e6)
            torch.cuda.synchronize()
        spin_us = 1.5 * median(issued) + 20
        return median(self.burst(contender, MIN_CALLS, spin_us)), spin_us

    def interleaved(
        self, contenders: Sequence[Contender], *, rounds: int, budget_s: float, seed: int
    ) -> dict[str, Times]:
        """`rounds` bursts of each, in random order, every second round the reverse of the last.

        Calls a burst are chosen so that all fits about in the budget.
        """
        shuffled = random.Random(seed)
        first = {c.label: self.warm_up(c) for c in contenders}
        overhead_us = FLUSH_BYTES / 2e6  # writing 256 MB at 2 TB/s
        round_us = sum(call + spin + overhead_us for call, spin in first.values())
        calls = int(budget_s * 1e6 / max(1.0, rounds * round_us))
        calls = min(MAX_CALLS, max(MIN_CALLS, calls))
        times = {c.label: Times(c.label) for c in contenders}
        order = list(contenders)
        for number in range(rounds):
            if number % 2:
                order.reverse()
            else:
                shuffled.shuffle(order)
            for contender in order:
                spin_us = first[contender.label][1]
                times[contender.label].bursts.append(self.burst(contender, calls, spin_us))
        return times


def paired_ratio(slower: Times, faster: Times) -> tuple[float, float, float]:
    """Median over rounds of the first's burst over the second's, with the least and the most."""
    ratios = [a / b for a, b in zip(slower.medians, faster.medians, strict=True)]
    return median(ratios), min(ratios), max(ratios)
