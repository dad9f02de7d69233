"""Turns of long loops that need not be carried out one by one.

The code's course is followed through every turn, with little else; so it is known how many turns
each innermost loop makes. Where all that a loop carries from turn to turn grows evenly, or does so
every few turns, its addresses are worked out for some turns and it is taken on over the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_decode import Registers
from warpwright.costmodel.sass.sass_partly import Partly
from warpwright.costmodel.sass.sass_values import MASK32, SIGN32, Word, is_word

State = dict[str, object]  # registers by name
Mask = npt.NDArray[np.bool_] | None
LONGEST_PERIOD = 8
SKIPS = 6  # at least so many places along a loop are looked at
LEAST_SKIP = 8
LAST_TURNS = 3  # are always carried out


@dataclass(slots=True)
class SectorsMoved:
    """What accesses to global memory have come to so far, weighted."""

    sectors: float = 0.0
    bytes: float = 0.0


@dataclass(slots=True)
class _Passage:
    """One passage through an innermost loop by the same lanes."""

    turns: int = 0
    mask: Mask = None
    states: deque[tuple[State, float, float]] = field(
        default_factory=lambda: deque(maxlen=2 * LONGEST_PERIOD + 1)
    )


class Turns:
    """Counts the turns of innermost loops; given such a count, takes loops on over some turns.

    `headers`: the first blocks of loops. `lengths` (header → turns of each passage, in order) and
    `live` (header → registers that a turn reads from the one before) are what skipping needs.
    """

    def __init__(
        self,
        headers: frozenset[int],
        registers: Registers,
        lengths: Mapping[int, Sequence[int]] | None = None,
        live: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        self.lengths: dict[int, list[int]] = {header: [] for header in headers}
        self._headers = headers
        self._registers = registers
        self._known = lengths
        self._live = live or {}
        self._last: int | None = None
        self._passage = _Passage()

    def arrive(self, block: int, mask: Mask, again: bool, moved: SectorsMoved) -> None:
        """Lanes are about to run a block; `again`: they came to it from below."""
        if block not in self._headers:
            return
        same = again and self._last == block and _equal(self._passage.mask, mask)
        if not same:
            self._last = block
            self._passage = _Passage(mask=mask)
            self.lengths[block].append(0)
        self._passage.turns += 1
        self.lengths[block][-1] = self._passage.turns
        if self._known is not None:
            self._skip(block, moved)

    def _skip(self, block: int, moved: SectorsMoved) -> None:
        assert self._known is not None
        passage = self._passage
        number = len(self.lengths[block]) - 1
        known = self._known.get(block, ())
        whole = known[number] if number < len(known) else 0
        state = {name: self._registers.get(name, 0) for name in self._live.get(block, ())}
        passage.states.append((state, moved.sectors, moved.bytes))
        left = whole - passage.turns - LAST_TURNS
        if left < LEAST_SKIP:
            return
        most = min(left, max(LEAST_SKIP, whole // SKIPS))
        for period in range(1, LONGEST_PERIOD + 1):
            if len(passage.states) <= 2 * period:
                return
            growth = _growth(*(passage.states[-1 - i * period][0] for i in range(3)))
            if growth is not None:
                self._take_on(state, growth, period, most, moved)
                return

    def _take_on(
        self,
        state: dict[str, object],
        growth: dict[str, Word],
        period: int,
        most: int,
        moved: SectorsMoved,
    ) -> None:
        passage = self._passage
        rounds = most // period
        for name, by in growth.items():
            rounds = min(rounds, _rounds_without_wrapping(state[name], by))
        if rounds < 1:
            return
        for name, by in growth.items():
            value: Word = state[name]  # type: ignore[assignment]
            self._registers[name] = (value + by * rounds) & MASK32
        _, sectors, moved_bytes = passage.states[-1 - period]
        moved.sectors += rounds * (moved.sectors - sectors)
        moved.bytes += rounds * (moved.bytes - moved_bytes)
        passage.turns += rounds * period
        self.lengths[self._last or 0][-1] = passage.turns
        passage.states.clear()


def _equal(one: Mask, other: Mask) -> bool:
    return one is other or (
        one is not None and other is not None and bool(np.array_equal(one, other))
    )


def _growth(last: State, before: State, first: State) -> dict[str, Word] | None:
    """By how much each word grows, where it did so twice; None where anything else changes."""
    found: dict[str, Word] = {}
    for name, value in last.items():
        other, another = before[name], first[name]
        if value is other and other is another:
            continue
        if not (is_word(value) and is_word(other) and is_word(another)):
            if _same(value, other) and _same(other, another):
                continue
            return None
        by: Word = (value - other) & MASK32  # type: ignore[operator]
        if not np.array_equal(by, (other - another) & MASK32):  # type: ignore[operator]
            return None
        if np.any(by):
            found[name] = by
    return found


def _same(one: object, other: object) -> bool:
    if isinstance(one, Partly):
        return one.same(other)
    if one is None or other is None or isinstance(one, dict) or isinstance(other, (dict, Partly)):
        return one is other
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _rounds_without_wrapping(value: object, by: Word) -> int:
    """How often `by`, with its sign, can be added before the word leaves its 32 bits.

    Beyond that a pointer's upper word would change, which does not grow evenly.
    """
    words = np.asarray(value, np.uint64)
    steps = np.asarray(by, np.uint64)
    down = steps >= SIGN32
    size = np.where(down, np.uint64(MASK32 + 1) - steps, steps)
    room = np.where(down, words, np.uint64(MASK32) - words)
    return int((room // np.maximum(size, np.uint64(1)))[size > 0].min(initial=2**31))
