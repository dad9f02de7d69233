"""Shared memory of the blocks that are carried out: words that are known, and where.

Compilers pass not only data through it: pointers and indices go from lane to lane this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_partly import known_in, parts
from warpwright.costmodel.sass.sass_values import Lanes

WORDS = 1 << 16  # 256 KiB, more than any block has


class SharedMemory:
    """One array of words for each block; `threads` in each. Addresses are in bytes."""

    def __init__(self, lanes: int, threads: int) -> None:
        self._blocks = np.arange(lanes) // threads
        shape = (lanes // threads, WORDS)
        self._words = np.zeros(shape, np.uint64)
        self._known = np.zeros(shape, bool)

    def store(self, address: object, values: Sequence[object], lanes: Lanes) -> None:
        """Lanes that take part write words in a row; unknown ones make their place unknown."""
        at, reached = parts(address)
        if not np.all(reached | ~lanes):  # some lane may write anywhere
            self._known[:] = False
            return
        blocks, first = self._blocks[lanes], self._places(at)[lanes]
        for i, value in enumerate(values):
            place = (first + i) % WORDS
            words, known = parts(value)
            self._known[blocks, place] = known if isinstance(known, bool) else known[lanes]
            if words is not None:
                whole = np.broadcast_to(np.asarray(words, np.uint64), lanes.shape)
                self._words[blocks, place] = whole[lanes]

    def load(self, address: object, count: int, lanes: Lanes) -> tuple[object, ...]:
        """Words in a row of each lane, known where the lane takes part and its place is known."""
        at, reached = parts(address)
        if at is None:
            return (None,) * count
        first = self._places(at)
        found = []
        for i in range(count):
            place = (first + i) % WORDS
            known = self._known[self._blocks, place] & reached
            whole = bool(known[lanes].all())  # what the others would read is not written
            found.append(
                known_in(self._words[self._blocks, place], True if whole else known & lanes)
            )
        return tuple(found)

    def _places(self, address: int | npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        words = (np.asarray(address, np.uint64) >> np.uint64(2)).astype(np.int64) % WORDS
        return np.broadcast_to(words, self._blocks.shape)
