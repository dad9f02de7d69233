"""Which blocks of a grid are looked at, and where elements of a tensor lie: pure arithmetic."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_BLOCKS = 8
RANDOM_BLOCKS = 2

Block = tuple[int, int, int]


def chosen_blocks(extents: Sequence[int], seed: int) -> list[Block]:
    """The last block, the first, the middle one, the last along each axis alone, some at random.

    Blocks in the middle and at random stand at fractions of the grid, the same for every grid, so
    that blocks of two programs with other tiles cover the same part of the output where both count
    along its axes.
    """
    chance = random.Random(seed)
    shares = [[0.5] * 3] + [[chance.random() for _ in range(3)] for _ in range(RANDOM_BLOCKS)]
    middle, *drawn = [tuple(int(f * n) for f, n in zip(s, extents, strict=True)) for s in shares]
    last = tuple(n - 1 for n in extents)
    edges = [
        tuple(last[axis] if axis == edge else middle[axis] for axis in range(3))
        for edge in range(3)
        if extents[edge] > 1
    ]
    every = [last, (0, 0, 0), middle, *drawn, *edges]
    return list(dict.fromkeys((x, y, z) for x, y, z in every))[:MOST_BLOCKS]


def places(
    flat: npt.NDArray[Any], shape: Sequence[int], strides: Sequence[int]
) -> npt.NDArray[np.int64]:
    """Offsets, in elements, of elements by their flat index in a tensor of these strides."""
    offsets = np.zeros(flat.shape, dtype=np.int64)
    left = flat.astype(np.int64)
    for axis in range(len(shape)):
        step = math.prod(shape[axis + 1 :])
        offsets += left // step * strides[axis]
        left = left % step
    return offsets


def elements_at(
    offsets: npt.NDArray[Any], shape: Sequence[int], strides: Sequence[int]
) -> npt.NDArray[np.int64]:
    """The inverse of `places`: by offset the flat index of the element there, -1 where none is."""
    left = offsets.copy()
    index = np.zeros_like(offsets)
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    valid = np.ones(offsets.shape, dtype=bool)
    for axis in sorted(range(len(shape)), key=lambda axis: -strides[axis]):
        if shape[axis] == 1:
            continue
        if strides[axis] == 0:  # one place for many elements
            return np.full_like(offsets, -1)
        at = left // strides[axis]
        valid &= at < shape[axis]
        index += at * steps[axis]
        left = left - at * strides[axis]
    return np.where(valid & (left == 0), index, -1)
