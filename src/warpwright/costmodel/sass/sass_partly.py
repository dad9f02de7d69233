"""Registers of which some lanes are known: what a warp does under a predicate leaves such ones.

A reduction over a block passes its parts through shared memory and lets a few lanes read them; the
others hold data, or nothing. What those few make of it decides a branch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from warpwright.costmodel.sass.sass_values import Lanes, Truth


@dataclass(frozen=True, slots=True, eq=False)
class Partly:
    """Words or truths of all lanes, of which those in `known` mean something; never all, never
    none."""

    words: Lanes
    known: Lanes

    def same(self, other: object) -> bool:
        return isinstance(other, Partly) and bool(
            np.array_equal(self.known, other.known) and np.array_equal(self.words, other.words)
        )


def known_in(words: object, known: object) -> object:
    """Words of which the lanes in `known` mean something, in the simplest form."""
    if words is None or known is False:
        return None
    if known is True:
        return words
    lanes = np.asarray(known, bool)
    if lanes.all():
        return words
    if not lanes.any():
        return None
    whole: Lanes = np.broadcast_to(np.asarray(words, _dtype(words)), lanes.shape)
    return Partly(np.where(lanes, whole, np.zeros_like(whole)), lanes)


def parts(value: object) -> tuple[Any, Any]:
    """A register's words, and the lanes in which they mean something (True: all, False: none)."""
    if isinstance(value, Partly):
        return value.words, value.known
    return value, value is not None


def settled_in(truth: object, lanes: Lanes | None) -> Truth:
    """A predicate as the lanes that take part (None: all) see it; None where one does not know."""
    if not isinstance(truth, Partly):
        return truth  # type: ignore[return-value]
    unknown = ~truth.known if lanes is None else ~truth.known & lanes
    return None if unknown.any() else truth.words


def _same(one: object, other: object) -> bool:
    """Whether two registers that hold several things by name hold the same."""
    if not isinstance(one, dict) or not isinstance(other, dict) or one.keys() != other.keys():
        return False
    return all(np.array_equal(one[name], other[name]) for name in one)


def merged(lanes: Any, value: object, old: object) -> object:
    """A register of which only some lanes are written; `lanes` may be unknown, or so in part."""
    if lanes is None or isinstance(value, dict) or isinstance(old, dict):
        return value if _same(value, old) else None
    if isinstance(lanes, bool):
        return value if lanes else old
    if value is old:
        return value
    if isinstance(lanes, Partly):  # where that is unknown, it is unknown what is left
        words, known = parts(value)
        value, lanes = known_in(words, known & lanes.known), lanes.words | ~lanes.known
    if type(value) is int and type(old) is int and value == old:
        return value
    (new, new_known), (before, before_known) = parts(value), parts(old)
    kind = _dtype(old if new is None else new)
    words = np.where(lanes, _filled(new, kind), _filled(before, kind))
    if new_known is True and before_known is True:
        return words
    return known_in(words, np.where(lanes, new_known, before_known))


def run_partly(
    run: Callable[[], Iterable[object]], registers: dict[str, object], names: Collection[str]
) -> list[object]:
    """Carry out a function of each lane by itself, some of whose registers are known in part."""
    held = {name: registers[name] for name in names}
    known: Any = True
    for name, value in held.items():
        words, lanes = parts(value)
        known = known & lanes
        registers[name] = words
    try:
        return [known_in(value, known) for value in run()]
    finally:
        registers.update(held)


def run_without(
    run: Callable[[], Iterable[object]], registers: dict[str, object], names: Collection[str]
) -> list[object]:
    """Carry out a function of all lanes together: what is known in part counts as unknown."""
    held = {name: registers[name] for name in names}
    registers.update(dict.fromkeys(names))
    try:
        return list(run())
    finally:
        registers.update(held)


def _dtype(value: object) -> type:
    truths = isinstance(value, bool) or (isinstance(value, np.ndarray) and value.dtype == bool)
    return np.bool_ if truths else np.uint64


def _filled(words: object, kind: type) -> Lanes:
    return np.asarray(0 if words is None else words, kind)
