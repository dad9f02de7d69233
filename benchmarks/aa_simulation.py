"""How often chance alone is taken for a gain, and how often a true gain is seen.

    python benchmarks/aa_simulation.py [--families N] [--gain PCT] [--noise NAME] [--budget NAME]
                                       [--minimum LOW HIGH] [--seed N] [--out FILE]

Families of 32 candidates go the whole way: plan, timings of a simulated card, screening, finalists
on fresh workers, decision. Without a gain all 32 are the parent itself, and whatever is accepted is
an error; with `--gain 3` one of them is 3 % faster, and only accepting that one is right. Prints
the rate with its 95 % interval (Clopper and Pearson); `--out` appends a line of JSON with what
became of each family.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from warpwright.bench.statistics.budget import BUDGETS, FLUSH_US, Budget
from warpwright.bench.statistics.family import (
    Verdicts,
    choose_again,
    choose_finalists,
    decide_finalists,
)
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM, Minimum
from warpwright.bench.statistics.schedule import (
    PlannedBurst,
    Seat,
    pair_up,
    plan_finalists,
    plan_screening,
)
from warpwright.types.measurement import Burst, BurstPair

Values = npt.NDArray[np.float64]
CANDIDATES = 32
CALL_US = 2000.0
ORDERS = 10**6  # finalists are timed after everything else


@dataclass(frozen=True)
class Noise:
    """Sizes in percent of a call's time, rates a call or a second."""

    name: str
    worker_pct: float = 0.3  # of a process for its life: where its memory lies
    call_pct: float = 0.5  # of each call, Student's t with 3 degrees of freedom
    burst_pct: float = 0.3  # of a burst
    drift_pct: float = 2.0  # swing of the clock over seconds to minutes, for all alike
    step_pct: float = 1.5  # the clock jumps between two values
    steps_per_second: float = 0.5
    spike_rate: float = 0.01  # calls that are interrupted, and take longer by a Pareto variable
    first_pct: float = 0.2  # whoever begins a round
    overhead_us: float = 4000.0  # around a burst, exponentially distributed


NOISES = {
    noise.name: noise
    for noise in (
        Noise("typical"),
        Noise("offsets", worker_pct=0.8),
        Noise("spikes", spike_rate=0.1, call_pct=2.0),
        Noise("drift", drift_pct=10.0, step_pct=8.0, steps_per_second=3.0),
        Noise("bursts", burst_pct=2.0),
        Noise("calm", 0.05, 0.1, 0.05, 0.2, 0.0, 0.0, 0.0, 0.0, 1000.0),
    )
}


class SimulatedCard:
    """Runs plans: times of calls from a noise, on a clock of its own."""

    def __init__(self, noise: Noise, rng: np.random.Generator) -> None:
        self._noise, self._rng = noise, rng
        self._now_s = 0.0
        self._workers: dict[tuple[str, Seat], tuple[int, float]] = {}
        self._waves = [
            (1 / rng.uniform(2, 60), rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.5))
            for _ in range(3)
        ]

    def run(
        self, planned: Sequence[PlannedBurst], gain_pct: Mapping[str, float], phase: str
    ) -> list[Burst]:
        """All bursts of plans of one number of calls. Workers live for a phase and a seat."""
        calls = planned[0].calls
        workers = [self._worker(phase, burst.seat) for burst in planned]
        base_us = np.array(
            [CALL_US / (1 + gain_pct.get(burst.seat.program, 0.0) / 100) for burst in planned]
        )
        overhead_us = self._rng.exponential(self._noise.overhead_us, len(planned))
        spans_us = calls * (base_us + FLUSH_US) + overhead_us
        starts_s = self._now_s + np.concatenate([[0.0], np.cumsum(spans_us)[:-1]]) / 1e6
        self._now_s = float(starts_s[-1] + spans_us[-1] / 1e6)
        slow = self._common(starts_s) + np.array([offset for _, offset in workers])
        slow += self._noise.burst_pct / 100 * self._rng.standard_normal(len(planned))
        previous = [None, *planned[:-1]]
        first = [a is None or a.round != b.round for a, b in zip(previous, planned, strict=True)]
        slow += self._noise.first_pct / 100 * np.array(first)
        times_us = base_us[:, None] * (1 + slow[:, None] + self._per_call((len(planned), calls)))
        walls_us = times_us.sum(axis=1) + calls * FLUSH_US + overhead_us
        return [
            Burst(burst.seat.program, worker, burst.order, tuple(times), wall)
            for burst, (worker, _), times, wall in zip(
                planned, workers, times_us.tolist(), walls_us.tolist(), strict=True
            )
        ]

    def _worker(self, phase: str, seat: Seat) -> tuple[int, float]:
        if (phase, seat) not in self._workers:
            offset = self._noise.worker_pct / 100 * float(self._rng.standard_t(5))
            self._workers[phase, seat] = len(self._workers), offset
        return self._workers[phase, seat]

    def _common(self, starts_s: Values) -> Values:
        slow = np.zeros_like(starts_s)
        for frequency, phase, size in self._waves:
            wave = np.sin(2 * math.pi * frequency * starts_s + phase)
            slow += self._noise.drift_pct / 100 * size * wave
        gaps_s = np.diff(starts_s, prepend=starts_s[0])
        jumps = self._rng.random(len(starts_s)) < self._noise.steps_per_second * gaps_s
        result: Values = slow + self._noise.step_pct / 100 * (np.cumsum(jumps) % 2)
        return result

    def _per_call(self, shape: tuple[int, int]) -> Values:
        usual = self._noise.call_pct / 100 * self._rng.standard_t(3, shape)
        spikes = self._rng.random(shape) < self._noise.spike_rate
        result: Values = np.maximum(usual, -0.5) + spikes * self._rng.pareto(1.5, shape) * 0.2
        return result


def family(
    noise: Noise, budget: Budget, minimum: Minimum, gain_pct: Mapping[str, float], seed: int
) -> tuple[Verdicts, int, int]:
    """One family, from plans to verdicts, with how many screenings and groups it took.

    `gain_pct` by candidate; the rest are the parent.
    """
    card = SimulatedCard(noise, np.random.default_rng(seed))
    names = [f"clone{number}" for number in range(CANDIDATES)]
    screened: dict[str, tuple[BurstPair, ...]] = dict.fromkeys(names, ())
    screenings = 0
    while names and screenings < budget.screenings:
        screenings += 1
        phase = f"screening {screenings}"
        first_seed = (seed * budget.screenings + screenings) * CANDIDATES
        for name, pairs in _screen(card, names, budget, gain_pct, phase, first_seed).items():
            screened[name] += pairs
        names = choose_again(screened, budget)
    finalists = choose_finalists(screened, budget)
    if not finalists:
        return Verdicts({}, None), screenings, 0
    plan = plan_finalists(budget, finalists, CALL_US, seed=seed, first_order=ORDERS)
    bursts: list[Burst] = []
    for done, groups in pairwise((0, *budget.looks)):
        now = [burst for burst in plan if done <= burst.seat.group < groups]
        bursts += card.run(now, gain_pct, "finalists")
        found = pair_up(plan, bursts)
        verdicts = decide_finalists(
            found.candidates,
            found.same,
            minimum=minimum,
            tried=CANDIDATES,
            looks=len(budget.looks),
        )
        if not verdicts.undecided:
            break
    return verdicts, screenings, groups


def _screen(
    card: SimulatedCard,
    names: Sequence[str],
    budget: Budget,
    gain_pct: Mapping[str, float],
    phase: str,
    first_seed: int,
) -> dict[str, tuple[BurstPair, ...]]:
    """One screening of some candidates, each in a new worker."""
    plans: dict[str, tuple[PlannedBurst, ...]] = {}
    for number, name in enumerate(names):
        first = sum(map(len, plans.values()))
        plans[name] = plan_screening(
            budget, name, CALL_US, seed=first_seed + number, first_order=first
        )
    bursts = card.run([burst for plan in plans.values() for burst in plan], gain_pct, phase)
    return {name: pair_up(plan, bursts).candidates[name] for name, plan in plans.items()}


def exact_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a rate: C. J. Clopper and E. S. Pearson, Biometrika 26(4), 1934."""
    tail = (1 - confidence) / 2

    def at_most(count: int, rate: float) -> float:
        return sum(
            math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(count + 1)
        )

    def solve(is_low: bool) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            rate = (low + high) / 2
            up = 1 - at_most(hits - 1, rate) < tail if is_low else at_most(hits, rate) > tail
            low, high = (rate, high) if up else (low, rate)
        return low

    return (0.0 if hits == 0 else solve(True)), (1.0 if hits == trials else solve(False))


def simulate(
    families: int,
    *,
    noise: Noise,
    budget: Budget,
    minimum: Minimum = DEFAULT_MINIMUM,
    gain_pct: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Rates over families, and what became of each (JSON-ready)."""
    gains = {"clone7": gain_pct} if gain_pct else {}
    rows = []
    for number in range(families):
        verdicts, screenings, groups = family(noise, budget, minimum, gains, seed + number)
        best = verdicts.comparisons.get(verdicts.chosen or "clone7")
        rows.append(
            {
                "seed": seed + number,
                "screenings": screenings,
                "groups": groups,
                "finalists": len(verdicts.comparisons),
                "chosen": verdicts.chosen,
                "gain_pct": None if best is None else best.gain_pct,
                "interval_pct": None if best is None else best.interval_pct,
                "noise_floor_pct": None if best is None else best.noise_floor_pct,
            }
        )
    wanted = "clone7" if gain_pct else None
    accepted = sum(row["chosen"] is not None for row in rows)
    right = sum(row["chosen"] == wanted for row in rows)
    return {
        "families": families,
        "candidates": CANDIDATES,
        "gain_pct": gain_pct,
        "noise": asdict(noise),
        "budget": asdict(budget),
        "minimum_pct": [minimum.low_pct, minimum.high_pct],
        "accepted": accepted,
        "accepted_interval": exact_interval(accepted, families),
        "right": right,
        "right_interval": exact_interval(right, families),
        "rows": rows,
    }


def _rounded(value: Any) -> Any:
    """Percentages to four places: the raw rates are kept, not the noise of their last digits."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--gain", type=float, default=0.0)
    parser.add_argument("--noise", choices=NOISES, default="typical")
    parser.add_argument("--budget", choices=BUDGETS, default="normal")
    parser.add_argument("--minimum", type=float, nargs=2, default=(1.0, 2.0))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = simulate(
        given.families,
        noise=NOISES[given.noise],
        budget=BUDGETS[given.budget],
        minimum=Minimum(*given.minimum),
        gain_pct=given.gain,
        seed=given.seed,
    )
    for what in ("accepted", "right"):
        low, high = result[f"{what}_interval"]
        rate = result[what] / given.families
        print(f"{what}: {result[what]} of {given.families}: {rate:.2%} [{low:.2%}, {high:.2%}]")
    if given.out:
        kept = result | {"columns": list(result["rows"][0])}
        kept["rows"] = [list(row.values()) for row in result["rows"]]
        with given.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(_rounded(kept)) + "\n")


if __name__ == "__main__":
    main()
