"""Which configs of a space to try next: pure, told what was measured, and deterministic.

    search = ConfigSearch(space, seed=0)
    while configs := search.ask(8):
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
SPREAD_PER_AXIS = 2  # configs of the spread for each axis
NEIGHBOUR_EVERY = 3  # in a round: so often a neighbour of the best few
BEST_FEW = 3
FAILED_TIMES = 2.0  # how much slower than the median a failed config counts as
SLOWEST_TIMES = 4.0  # slower ones count as this much slower than the best: they are all alike
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
        self._fit: tuple[int, Surrogate] | None = None  # with how many times it was made
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

    def has(self, config: Config) -> bool:
        """Whether the config is one of the space."""
        return config in self._number

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
        axes = self._places[:, : len(self._space.axes)]
        points = axes / np.maximum(axes.max(axis=0) - axes.min(axis=0), 1.0)
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
        near = self._neighbours(BEST_FEW)
        while len(chosen) < count:
            taken = self._asked.union(beside, chosen)
            free = [number for number in range(self.size) if number not in taken]
            if not free:
                break
            surrogate = self._believing(numbers, logs, [*pending, *chosen])
            gains = expected_gain(surrogate, self._places[free], best)
            if not chosen and gains.max() < WORTH and not self._neighbours(1):
                break
            expected = dict(zip(free, gains, strict=True))
            closest = [number for number in near if number in expected]
            of_the_near = closest and len(chosen) % NEIGHBOUR_EVERY == NEIGHBOUR_EVERY - 1
            choice = closest if of_the_near else free
            chosen.append(max(choice, key=lambda number: expected[number]))
        return chosen

    def _neighbours(self, few: int) -> list[int]:
        """Those of the best few that were not asked for yet."""
        timed = sorted((ms, n) for n, ms in self._times.items() if ms is not None)
        near = [
            self._number.get(config)
            for _, number in timed[:few]
            for config in self._space.neighbours(self._configs[number])
        ]
        return [n for n in dict.fromkeys(near) if n is not None and n not in self._asked]

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

    def _fitted(self, numbers: Sequence[int], logs: Sequence[float]) -> Surrogate:
        if self._fit is None or self._fit[0] != len(numbers):
            places = self._places[list(numbers)]
            self._fit = (len(numbers), fit(places, np.array(logs, dtype=np.float64)))
        return self._fit[1]


def _places(space: ConfigSpace, configs: Sequence[Config]) -> Array:
    """[configs, axes + 2]: where on each axis a config is; how large its tile is, and how much of
    it a thread holds (binary logarithms): configs that are equal in these are often alike, though
    several axes lie between them."""
    own = [
        [axis.values.index(_whole(config, axis.name)) for axis in space.axes] for config in configs
    ]
    tiles = [_log_tile(config) for config in configs]
    warps = [math.log2(config.num_warps) for config in configs]
    shares = np.array(tiles) - np.array(warps)
    return np.column_stack([np.array(own, dtype=np.float64), tiles, shares])


def _whole(config: Config, name: str) -> int | None:
    value = value_of(config, name)
    assert value is None or isinstance(value, int), f"{name} is no whole number: {value!r}"
    return value


def _log_tile(config: Config) -> float:
    """Of the product of all meta-parameters that are powers of two, as sizes of tiles are."""
    sizes = (value for _, value in config.meta if isinstance(value, int) and value > 0)
    return float(sum(size.bit_length() - 1 for size in sizes if not size & (size - 1)))
