"""Which way branches go in single blocks, lane by lane."""

from __future__ import annotations

import ast
from textwrap import dedent

from warpwright.program.block_values import ways_of_blocks

KERNEL = dedent(
    """
    def kernel(x_ptr, size, W, PAD, TILE, FLAG):
        first = tl.program_id(0) * TILE
        at = first + tl.arange(0, TILE)
        column = at % W
        inside = first + TILE <= size
        inside = inside & (tl.min(column, 0) - PAD >= 0)
        inside = inside & ((tl.max(column, 0) + PAD) // 1 < W)
        if inside:
            if first // W == 0:
                y = 1
        else:
            for step in range(3):
                first += 1
            if first > 100:
                y = 2
        if tl.max(tl.load(x_ptr + at), 0) > 0:
            PAD = 0
        if PAD > 0:
            y = 3
        if FLAG:
            return
        if size > 10:
            y = 4
    """
)


def ways(grid: int, **numbers: int) -> dict[str, frozenset[bool]]:
    (node,) = ast.parse(KERNEL).body
    assert isinstance(node, ast.FunctionDef)
    return {site.text: found for site, found in ways_of_blocks(node, numbers, (grid,)).items()}


def test_a_flat_tile_is_inside_only_where_it_fits_between_two_borders() -> None:
    wide = ways(16, size=256, W=64, PAD=1, TILE=16, FLAG=0)
    assert wide["inside"] == {True, False}
    assert wide["first // W == 0"] == {True, False}
    narrow = ways(16, size=256, W=16, PAD=1, TILE=16, FLAG=0)
    assert narrow["inside"] == {False}
    assert "first // W == 0" not in narrow


def test_what_loads_or_loops_decide_is_left_out() -> None:
    found = ways(4, size=64, W=16, PAD=1, TILE=16, FLAG=0)
    assert not {"first > 100", "PAD > 0", "tl.max(tl.load(x_ptr + at), 0) > 0"} & found.keys()


def test_a_block_that_returns_asks_no_more() -> None:
    assert ways(4, size=64, W=16, PAD=1, TILE=16, FLAG=0)["size > 10"] == {True}
    assert "size > 10" not in ways(4, size=64, W=16, PAD=1, TILE=16, FLAG=1)


def test_both_ends_of_a_large_grid_are_looked_at() -> None:
    found = ways(100_000, size=99_999 * 16 + 3, W=64, PAD=0, TILE=16, FLAG=0)
    assert found["inside"] == {True, False}
