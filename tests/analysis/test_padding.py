"""Which configs only pad what a smaller tile does."""

from __future__ import annotations

from collections.abc import Mapping

from warpwright.analysis.padding import padded_configs
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, ScalarArgument, TracedConfig

ROWS = """
def scale(x, y, width, TILE: tl.constexpr, GROUP: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, width, TILE):
        at = start + tl.arange(0, TILE)
        tl.store(y + row * width + at, tl.load(x + row * width + at, mask=at < width), at < width)
"""


def config(tile: int, warps: int = 4, group: int = 1) -> Config:
    return Config.of({"TILE": tile, "GROUP": group}, warps, 2)


def launch(width: int, *configs: Config, blocks: dict[Config, int] | None = None) -> Launch:
    grids = blocks or {}
    traced = tuple(TracedConfig(c, (grids.get(c, 512),)) for c in configs)
    return Launch("scale", 0, {"width": ScalarArgument(width, "i32")}, traced, True)


def found_in(
    source: str, launches: list[Launch], grid: str = "(512,)"
) -> Mapping[Config, frozenset[Config]]:
    return padded_configs(source, "scale", launches, [grid])


def test_a_tile_beyond_the_row_pads_the_one_that_covers_it() -> None:
    whole, wide = config(64), config(256, warps=8)
    assert found_in(ROWS, [launch(50, whole, wide)]) == {wide: frozenset({whole})}


def test_a_tile_that_saves_iterations_pads_nothing() -> None:
    assert found_in(ROWS, [launch(200, config(64), config(256))]) == {}


def test_another_grid_is_other_work() -> None:
    small, large = config(64), config(256)
    assert found_in(ROWS, [launch(50, small, large, blocks={large: 256})]) == {}


def test_it_is_padding_in_every_launch_or_not_at_all() -> None:
    both = config(64), config(256)
    assert found_in(ROWS, [launch(50, *both), launch(200, *both)]) == {}


def test_a_number_that_is_no_tile_may_matter() -> None:
    configs = config(64, group=1), config(64, group=8), config(256, group=8)
    found = found_in(ROWS, [launch(50, *configs)])
    assert found == {configs[2]: frozenset({configs[1]})}


def test_a_loop_that_cannot_be_counted_leaves_all_open() -> None:
    endless = ROWS.replace("for start in range(0, width, TILE):", "while start < width:")
    assert found_in(endless, [launch(50, config(64), config(256))]) == {}


FLAT = """
def scale(x, y, width, TILE: tl.constexpr, GROUP: tl.constexpr):
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    tl.store(y + at, tl.load(x + at, mask=at < width), at < width)
"""


def test_a_grid_worked_out_from_the_tile_covers_everything_with_the_smaller_one() -> None:
    small, large = config(64), config(256)
    launches = [launch(50, small, large, blocks={small: 1, large: 1})]
    grid = 'lambda meta: (triton.cdiv(width, meta["TILE"]),)'
    assert found_in(FLAT, launches, grid) == {large: frozenset({small})}


def test_a_grid_that_is_fixed_says_nothing_of_what_a_tile_covers() -> None:
    small, large = config(64), config(256)
    launches = [launch(2000, small, large, blocks={small: 8, large: 8})]
    assert found_in(FLAT, launches, "(triton.cdiv(width, 256),)") == {}
