"""Instructions by which the lanes of a warp learn of one another's words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from warpwright.costmodel.sass.sass_decode import Operands, is_predicate
from warpwright.costmodel.sass.sass_integers import Run
from warpwright.costmodel.sass.sass_partly import known_in, parts
from warpwright.costmodel.sass.sass_values import MASK32, WARP, Lanes, Truth, Word, is_word

_TOGETHER: dict[str, Callable[[Lanes], Lanes]] = {
    "SUM": lambda warps: warps.sum(1),
    "MIN": lambda warps: warps.min(1),
    "MAX": lambda warps: warps.max(1),
    "AND": lambda warps: np.bitwise_and.reduce(warps, 1),
    "OR": lambda warps: np.bitwise_or.reduce(warps, 1),
    "XOR": lambda warps: np.bitwise_xor.reduce(warps, 1),
}


def shuffle(operands: Operands) -> Run:
    """SHFL over a whole warp: words of other lanes; one of a lane that is unknown is unknown."""
    operands.target(0)
    operands.target(1)
    kind = operands.modifiers[:1]
    source, index = operands.word(2), operands.word(3)
    ends = {("BFLY",): 0x1F, ("IDX",): 0x1F, ("DOWN",): 0x1F, ("UP",): 0}
    whole = len(operands) > 4 and kind in ends and operands[4].value == ends[kind]

    def run() -> tuple[object, ...]:
        (word, known), by = parts(source()), index()
        if isinstance(word, int):
            return None, word
        if word is None or not is_word(by) or not whole:
            return None, None
        lane = np.arange(operands.around.lanes) % WARP
        step = np.asarray(by, np.int64) & (WARP - 1)
        other = {"BFLY": lane ^ step, "IDX": step, "DOWN": lane + step, "UP": lane - step}[kind[0]]
        other = np.where((other < 0) | (other >= WARP), lane, other)
        from_lane = np.arange(operands.around.lanes) - lane + other
        return None, known_in(word[from_lane], known if known is True else known[from_lane])

    return run


def reduce(operands: Operands) -> Run:
    """REDUX, CREDUX: one word of all lanes of a warp. Known where all of them are."""
    operands.target(0)
    source = operands.word(1)
    together = next((_TOGETHER[m] for m in operands.modifiers if m in _TOGETHER), None)
    signed = "S32" in operands.modifiers

    def run() -> tuple[object, ...]:
        word, known = parts(source())
        if word is None or together is None:
            return (None,)
        lanes = np.broadcast_to(np.asarray(word, np.uint64), (operands.around.lanes,))
        warps = lanes.reshape(-1, WARP).astype(np.int64)
        if signed:
            warps = (warps ^ (1 << 31)) - (1 << 31)
        result = np.repeat(together(warps).astype(np.uint64) & np.uint64(MASK32), WARP)
        whole = known if known is True else np.repeat(known.reshape(-1, WARP).all(1), WARP)
        return (known_in(result, whole),)

    return run


def vote(operands: Operands) -> Run:
    """VOTE over whole warps: whether all lanes say so, or any does, and which."""
    position = 0
    while position < len(operands) - 1:
        operands.target(position)
        position += 1
    predicates = [i for i in range(position) if is_predicate(operands[i])]
    test = operands.test(position)
    every = "ALL" in operands.modifiers

    def run() -> tuple[object, ...]:
        truth = test()
        return tuple(
            _voted(truth, every) if i in predicates else _ballot(truth) for i in range(position)
        )

    return run


def _voted(truth: Truth, every: bool) -> Truth:
    if truth is None or isinstance(truth, bool):
        return truth
    warps = truth.reshape(-1, WARP)
    return np.repeat(warps.all(1) if every else warps.any(1), WARP)


def _ballot(truth: Truth) -> Word | None:
    if truth is None:
        return None
    if isinstance(truth, bool):
        return truth * MASK32
    bits = np.left_shift(np.uint64(1), np.arange(WARP, dtype=np.uint64))
    return np.repeat((truth.reshape(-1, WARP) * bits).sum(1, dtype=np.uint64), WARP)


def elect(operands: Operands) -> Run:
    """ELECT: one lane of each warp."""
    lane = np.arange(operands.around.lanes) % WARP
    operands.target(0)
    if len(operands) > 1:
        operands.target(1)
    return lambda: (lane == 0, None)[: len(operands.writes)]
