"""Which configs only pad what a smaller tile does."""

from __future__ import annotations

from warpwright.diagnosis.padding import padded_configs
from warpwright.types.config import Config
from warpwright.types.trace import Launch, ScalarArgument, TracedConfig

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


def test_a_tile_beyond_the_row_pads_the_one_that_covers_it() -> None:
    whole, wide = config(64), config(256, warps=8)
    assert padded_configs(ROWS, "scale", [launch(50, whole, wide)]) == {wide: frozenset({whole})}


def test_a_tile_that_saves_iterations_pads_nothing() -> None:
    assert padded_configs(ROWS, "scale", [launch(200, config(64), config(256))]) == {}


def test_another_grid_is_other_work() -> None:
    small, large = config(64), config(256)
    assert padded_configs(ROWS, "scale", [launch(50, small, large, blocks={large: 256})]) == {}


def test_it_is_padding_in_every_launch_or_not_at_all() -> None:
    both = config(64), config(256)
    assert padded_configs(ROWS, "scale", [launch(50, *both), launch(200, *both)]) == {}


def test_a_number_that_is_no_tile_may_matter() -> None:
    configs = config(64, group=1), config(64, group=8), config(256, group=8)
    found = padded_configs(ROWS, "scale", [launch(50, *configs)])
    assert found == {configs[2]: frozenset({configs[1]})}


def test_a_loop_that_cannot_be_counted_leaves_all_open() -> None:
    endless = ROWS.replace("for start in range(0, width, TILE):", "while start < width:")
    assert padded_configs(endless, "scale", [launch(50, config(64), config(256))]) == {}
