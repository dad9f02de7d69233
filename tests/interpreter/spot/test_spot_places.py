"""Which blocks are looked at, and where elements lie."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from warpwright.interpreter.spot.spot_places import MOST_BLOCKS, chosen_blocks, elements_at, places

extents = st.tuples(*[st.integers(1, 100_000)] * 3)


@given(extents, st.integers(0, 99))
def test_first_and_last_block_are_chosen_and_each_stands_in_the_grid(
    grid: tuple[int, int, int], seed: int
) -> None:
    found = chosen_blocks(grid, seed)
    assert found[0] == tuple(n - 1 for n in grid)
    assert (0, 0, 0) in found
    assert len(set(found)) == len(found) <= MOST_BLOCKS
    assert all(0 <= at < n for block in found for at, n in zip(block, grid, strict=True))


def test_the_end_of_each_axis_is_looked_at_away_from_the_corner() -> None:
    found = chosen_blocks((10, 20, 1), 0)
    assert (9, 10, 0) in found
    assert (5, 19, 0) in found


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_elements_are_found_again_in_any_order_of_axes(shape: list[int], chance: object) -> None:
    order = list(range(len(shape)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    strides = [0] * len(shape)
    step = 1
    for axis in order:
        strides[axis] = step
        step *= shape[axis]
    flat = np.arange(math.prod(shape))
    assert elements_at(places(flat, shape, strides), shape, strides).tolist() == flat.tolist()


def test_what_lies_between_rows_is_no_element() -> None:
    assert elements_at(np.array([0, 3, 4, 11]), (2, 3), (4, 1)).tolist() == [0, -1, 3, -1]
