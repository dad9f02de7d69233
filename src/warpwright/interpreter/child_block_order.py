"""Inside the interpreting child: in which order the blocks of a launch run."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

Schedule = Callable[[str, list[int], Callable[[tuple[int, int, int]], None]], None]
"""Runs a launch's blocks: the kernel's name, the grid's three extents, what runs one block."""


def every_block(_: str, extents: list[int], run: Callable[[tuple[int, int, int]], None]) -> None:
    """One block after the other, the last axis fastest."""
    for x in range(extents[0]):
        for y in range(extents[1]):
            for z in range(extents[2]):
                run((x, y, z))


def in_another_order(
    _: str, extents: list[int], run: Callable[[tuple[int, int, int]], None]
) -> None:
    """The last block first, then the others shuffled, the same way each time: a GPU runs them in
    no order, so that none may build on what another one wrote."""
    across, down, deep = map(range, extents)
    blocks = list(product(across, down, deep))
    last = blocks.pop()
    random.Random(len(blocks)).shuffle(blocks)
    for block in (last, *blocks):
        run(block)
