"""The search over configs: on grids that were timed on a card, and what it promises of itself."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from config_grids.recorded_grids import RecordedGrid, recorded_grids
from config_search import BATCH, above_pct, random_curve, search_curve

from warpwright.search.config_search import ConfigSearch
from warpwright.types.config import Config
from warpwright.types.config_space import Axis, ConfigSpace

SHARE = 0.20
GRIDS = recorded_grids()
SEEDS = range(3)


@functools.cache
def curve(kernel: str, seed: int) -> list[float]:
    """The search's curve on a grid: two tests look at each."""
    grid = next(grid for grid in GRIDS if grid.kernel == kernel)
    return search_curve(grid, seed, BATCH, SHARE)


def test_five_kernels_have_whole_grids_of_200_configs() -> None:
    assert sum(len(grid.times_ms) >= 200 for grid in GRIDS) >= 5
    for grid in GRIDS:
        assert set(grid.space.configs()) == set(grid.times_ms)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.kernel)
def test_it_comes_within_2_percent_of_the_best_at_a_fifth_of_the_grid(grid: RecordedGrid) -> None:
    for seed in SEEDS:
        assert above_pct(grid, curve(grid.kernel, seed), SHARE) <= 2.0


def test_it_beats_random_search_at_an_equal_budget() -> None:
    """On the mean over all kernels, at a tenth and at a fifth of each grid."""
    curves = [(g, curve(g.kernel, s)) for g in GRIDS for s in SEEDS]
    for share in (0.10, SHARE):
        ours = [above_pct(grid, found, share) for grid, found in curves]
        drawn = [above_pct(g, random_curve(g, s, share), share) for g in GRIDS for s in range(200)]
        assert sum(ours) / len(ours) < 0.7 * sum(drawn) / len(drawn)


def space(allowed: bool = True) -> ConfigSpace:
    axes = (Axis("BLOCK", (16, 32, 64, 128)), Axis("num_warps", (1, 2, 4, 8)))
    start = Config.of({"BLOCK": 32}, 4)
    rule = (lambda c: int(c.meta_dict["BLOCK"]) >= 16 * c.num_warps) if allowed else None
    return ConfigSpace(start, axes) if rule is None else ConfigSpace(start, axes, rule)


def time_ms(config: Config) -> float:
    return 1 + abs(int(config.meta_dict["BLOCK"] or 0) - 64) / 64 + abs(config.num_warps - 2) / 8


def asked(search: ConfigSearch, batch: int) -> Iterator[Config]:
    while configs := search.ask(batch):
        for config in configs:
            search.tell(config, time_ms(config))
            yield config


def test_the_same_seed_asks_for_the_same_configs() -> None:
    assert list(asked(ConfigSearch(space(), 3), 4)) == list(asked(ConfigSearch(space(), 3), 4))


def test_it_asks_for_each_allowed_config_once_at_most() -> None:
    configs = list(asked(ConfigSearch(space()), 5))
    assert len(set(configs)) == len(configs)
    assert set(configs) <= set(space().configs())


def test_the_kernels_own_config_is_the_first() -> None:
    whole = space(allowed=False)
    assert ConfigSearch(whole).ask(4)[0] == whole.start


def test_it_ends_when_nothing_better_is_to_be_expected() -> None:
    sizes = (16, 32, 64, 128, 256, 512)
    axes = (Axis("BLOCK", sizes), Axis("num_warps", (1, 2, 4, 8, 16)), Axis("num_stages", (1, 2)))
    search = ConfigSearch(ConfigSpace(Config.of({"BLOCK": 32}, 4, 2), axes))
    count = len(list(asked(search, 4)))
    assert count < search.size
    assert search.best is not None and search.best[1] == 1.0


def test_what_is_known_is_not_asked_for_again() -> None:
    known = {config: time_ms(config) for config in list(space().configs())[:5]}
    search = ConfigSearch(space(), known=known)
    assert search.best == min(((c, ms) for c, ms in known.items()), key=lambda entry: entry[1])
    assert not set(asked(search, 4)) & set(known)


def test_where_every_config_fails_all_are_asked_for() -> None:
    search = ConfigSearch(space())
    tried = 0
    while configs := search.ask(4):
        tried += len(configs)
        for config in configs:
            search.tell(config, None)
    assert tried == search.size
    assert search.best is None


def test_a_batch_that_was_not_told_yet_is_not_asked_for_again() -> None:
    search = ConfigSearch(space())
    first = search.ask(4)
    assert not set(first) & set(search.ask(4))
