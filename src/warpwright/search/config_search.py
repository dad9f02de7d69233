"""Which configs of a space to try next: pure, told what was measured, and deterministic.

    search = ConfigSearch(space, seed=0)
    while configs := search.ask(cores):
        for config in configs:  # compiled together, then timed alone
            search.tell(config, measured_ms)

First a spread: configs far from each other, the start among them. Then rounds: in each some
neighbours of the best few and those configs of the whole space of which the surrogate expects most.
A config that failed counts as slow, so that its neighbours are tried late.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np

from warpwright.search.time_surrogate import Array, Surrogate, expected_gain, fit
from warpwright.types.config import Config
from warpwright.types.config_space import ConfigSpace, value_of

SPREAD_LEAST = 8
SPREAD_PER_AXIS = 3  # configs of the spread for each axis
NEIGHBOURS_SHARE = 0.34  # of a round
BEST_FEW = 3
FAILED_TIMES = 2.0  # how much slower than the slowest half a failed config counts as
SLOWEST_TIMES = 8.0  # slower ones count as this much slower than the best: they are all alike
WORTH = 0.002  # of the time: with less to be expected of every config the search ends


class ConfigSearch:
    """A search over one space.

    `known`: milliseconds of configs that were measured before (None: failed); they are not asked
    for again. `seed` chooses among spreads that are equally wide.
    """

    def __init__(
        self, space: ConfigSpace, seed: int = 0, known: Mapping[Config, float | None] | None = None
    ) -> None:
        self._space = space
        self._configs = list(space.configs())
        self._places = _places(space, self._configs)
        self._number = {config: number for number, config in enumerate(self._configs)}
        self._times: dict[int, float | None] = {}
        self._asked: set[int] = set()
        self._random = random.Random(seed)
        for config, ms in (known or {}).items():
            if config in self._number:
                self.tell(config, ms)
        self._spread_left = max(SPREAD_LEAST, SPREAD_PER_AXIS * len(space.axes)) - len(self._times)

    @property
    def size(self) -> int:
        """Configs of the whole space."""
        return len(self._configs)

    @property
    def best(self) -> tuple[Config, float] | None:
        """The fastest config so far with its milliseconds; None before one was timed."""
        timed = [(ms, number) for number, ms in self._times.items() if ms is not None]
        if not timed:
            return None
        ms, number = min(timed)
        return self._configs[number], ms

    def tell(self, config: Config, ms: float | None) -> None:
        """A config's time, or None where it failed or cannot be launched."""
        number = self._number[config]
        self._asked.add(number)
        self._times[number] = ms

    def ask(self, count: int) -> tuple[Config, ...]:
        """The next configs, at most so many; none when nothing better is to be expected."""
        count = min(count, self.size - len(self._asked))
        chosen: list[int] = []
        spread = min(count, max(self._spread_left, 0))
        if spread:
            chosen = self._spread(spread)
            self._spread_left -= len(chosen)
        if len(chosen) < count:
            chosen += self._promising(count - len(chosen), chosen)
        self._asked.update(chosen)
        return tuple(self._configs[number] for number in chosen)

    def _spread(self, count: int) -> list[int]:
        """Each as far as can be from all before it, in shares of the axes' lengths."""
        spans = np.maximum(self._places.max(axis=0) - self._places.min(axis=0), 1.0)
        points = self._places / spans
        chosen: list[int] = []
        before = list(self._asked)
        if not before:
            start = self._number.get(self._space.start)
            chosen = [self._random.randrange(self.size) if start is None else start]
        jitter = np.array([self._random.random() for _ in self._configs])
        while len(chosen) < count:
            taken = [*before, *chosen]
            away = ((points[:, None, :] - points[None, taken, :]) ** 2).sum(axis=2).min(axis=1)
            away = away * (0.75 + 0.25 * jitter)
            away[taken] = -1.0
            chosen.append(int(away.argmax()))
        return chosen

    def _promising(self, count: int, beside: Sequence[int]) -> list[int]:
        """By turns neighbours of the best and what the surrogate expects most of."""
        if sum(ms is not None for ms in self._times.values()) < 2:
            return self._spread(count)
        numbers, logs = self._logs()
        best = min(logs)
        chosen: list[int] = []
        pending = [n for n in self._asked if n not in self._times] + list(beside)
        near = self._near(round(NEIGHBOURS_SHARE * count) if count > 1 else 0)
        while len(chosen) < count:
            free = [
                n for n in range(self.size) if n not in self._asked and n not in {*beside, *chosen}
            ]
            if not free:
                break
            surrogate = self._believing(numbers, logs, [*pending, *chosen])
            gains = expected_gain(surrogate, self._places[free], best)
            order = np.argsort(-gains, kind="stable")
            if not chosen and gains[order[0]] < WORTH and self._round_is_done():
                return []
            closest = [n for n in near if n in set(free)]
            use_near = closest and len(chosen) % 3 == 2
            if use_near:
                rank = {free[place]: r for r, place in enumerate(order)}
                chosen.append(min(closest, key=lambda n: rank[n]))
            else:
                chosen.append(free[int(order[0])])
        return chosen

    def _round_is_done(self) -> bool:
        """Whether every neighbour of the best was tried."""
        best = self.best
        assert best is not None
        return all(
            self._number[config] in self._asked
            for config in self._space.neighbours(best[0])
            if config in self._number
        )

    def _near(self, count: int) -> list[int]:
        if not count:
            return []
        timed = sorted((ms, n) for n, ms in self._times.items() if ms is not None)
        found: dict[int, None] = {}
        for _, number in timed[:BEST_FEW]:
            for config in self._space.neighbours(self._configs[number]):
                place = self._number.get(config)
                if place is not None and place not in self._asked:
                    found[place] = None
        return list(found)

    def _logs(self) -> tuple[list[int], list[float]]:
        """Logs of all times; those far from the best, and failures, at a bound."""
        timed = {n: math.log(ms) for n, ms in self._times.items() if ms is not None}
        best = min(timed.values())
        bound = best + math.log(SLOWEST_TIMES)
        middle = sorted(timed.values())[len(timed) // 2]
        failed = min(bound, middle + math.log(FAILED_TIMES))
        numbers = list(self._times)
        return numbers, [min(bound, timed[n]) if n in timed else failed for n in numbers]

    def _believing(
        self, numbers: Sequence[int], logs: Sequence[float], pending: Sequence[int]
    ) -> Surrogate:
        """The surrogate, as if those under way took what is expected of them."""
        fitted = self._fitted(numbers, logs)
        if not pending:
            return fitted
        expected, _ = fitted.expected(self._places[list(pending)])
        return fitted.believing(self._places[list(pending)], expected)

    _last: tuple[int, Surrogate] | None = None

    def _fitted(self, numbers: Sequence[int], logs: Sequence[float]) -> Surrogate:
        if self._last is None or self._last[0] != len(numbers):
            places = self._places[list(numbers)]
            self._last = (len(numbers), fit(places, np.array(logs, dtype=np.float64)))
        return self._last[1]


def _places(space: ConfigSpace, configs: Sequence[Config]) -> Array:
    """[configs, axes]: where on each axis a config is."""
    ranks = [{value: place for place, value in enumerate(axis.values)} for axis in space.axes]
    rows = [
        [ranks[a][value_of(config, axis.name)] for a, axis in enumerate(space.axes)]  # type: ignore[index]
        for config in configs
    ]
    return np.array(rows, dtype=np.float64)
