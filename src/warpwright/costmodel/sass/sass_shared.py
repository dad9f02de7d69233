"""Shared memory of the blocks that are carried out: words that are known, and where.

Compilers pass not only data through it: pointers and indices go from lane to lane this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_values import Value

WORDS = 1 << 16  # 256 KiB, more than any block has


class SharedMemory:
    """One array of words for each block; `threads` in each. Addresses are in bytes."""

    def __init__(self, lanes: int, threads: int) -> None:
        self._blocks = np.arange(lanes) // threads
        shape = (lanes // threads, WORDS)
        self._words = np.zeros(shape, np.uint64)
        self._known = np.zeros(shape, bool)

    def store(self, address: Value, values: Sequence[Value], lanes: npt.NDArray[np.bool_]) -> None:
        """Lanes that take part write words in a row; unknown ones make their place unknown."""
        if address is None:
            self._known[:] = False
            return
        blocks, first = self._blocks[lanes], self._places(address)[lanes]
        for i, value in enumerate(values):
            place = (first + i) % WORDS
            self._known[blocks, place] = value is not None
            if value is not None:
                words = np.broadcast_to(np.asarray(value, np.uint64), lanes.shape)
                self._words[blocks, place] = words[lanes]

    def load(self, address: Value, count: int, lanes: npt.NDArray[np.bool_]) -> tuple[Value, ...]:
        """Words in a row of each lane; None where one that takes part reads an unknown one."""
        if address is None:
            return (None,) * count
        first = self._places(address)
        found: list[Value] = []
        for i in range(count):
            place = (first + i) % WORDS
            known = bool(self._known[self._blocks, place][lanes].all())
            found.append(self._words[self._blocks, place] if known else None)
        return tuple(found)

    def _places(self, address: int | npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        words = (np.asarray(address, np.uint64) >> np.uint64(2)).astype(np.int64) % WORDS
        return np.broadcast_to(words, self._blocks.shape)
