"""Words of 32 and 64 bits as a GPU computes them: of all lanes at once, or not known.

A value is a Python integer where all lanes have the same, an array of `uint64` with one entry a
lane otherwise, and None where it is not known (it came from memory, or from an instruction that is
not carried out here). Predicates are the same with bools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

Lanes = npt.NDArray[Any]
Word = int | Lanes
Value = Word | None
Truth = bool | Lanes | None

WARP = 32  # lanes
MASK16 = 0xFFFF
MASK32 = 0xFFFFFFFF
MASK64 = 0xFFFFFFFFFFFFFFFF
SIGN32 = 0x80000000
SIGN64 = 0x8000000000000000


def is_word(value: object) -> TypeGuard[Word]:
    """Whether a register holds a word that is known in every lane, and no predicate."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype == np.uint64)
    return isinstance(value, int) and not isinstance(value, bool)


def low(word: Word) -> Word:
    """The lower 32 bits."""
    return word & MASK32


def high(word: Word) -> Word:
    """The upper 32 bits of 64."""
    return (word >> 32) & MASK32


def joined(lower: Word, upper: Word) -> Word:
    """64 bits from two words."""
    return lower | (upper << 32)


def extended(word: Word) -> Word:
    """32 signed bits as 64."""
    return ((word ^ SIGN32) - SIGN32) & MASK64


def inverse(word: Word, mask: int = MASK32) -> Word:
    return word ^ mask


def negative(word: Word, mask: int = MASK32) -> Word:
    return ((word ^ mask) + 1) & mask


def product(one: Word, other: Word) -> Word:
    """The lower 64 bits of a product."""
    if isinstance(one, int) and isinstance(other, int):
        return (one * other) & MASK64
    return one * other


def total(*words: Word) -> Word:
    """A sum modulo 2**64, which arrays are by themselves."""
    result: Word = words[0]
    for word in words[1:]:
        if type(word) is not int or word:
            result = result + word
    return result & MASK64 if isinstance(result, int) else result


def left(word: Word, by: Word) -> Word:
    """64 bits shifted to the left; by 64 or more gives zero."""
    if isinstance(by, int):
        if by >= 64:
            return 0
        return (word << by) & MASK64
    shifted = np.left_shift(np.uint64(1) * word, np.minimum(by, np.uint64(63)))
    return np.where(by < 64, shifted, np.uint64(0))


def right(word: Word, by: Word, signed: bool = False) -> Word:
    """64 bits shifted to the right, with zeros or with copies of the sign."""
    if signed:
        flipped: Any = right(word ^ SIGN64, by)
        shifted: Word = (flipped - right(SIGN64, by)) & MASK64
        return shifted
    if isinstance(by, int):
        return word >> by if by < 64 else 0
    shifted = np.right_shift(np.uint64(1) * word, np.minimum(by, np.uint64(63)))
    return np.where(by < 64, shifted, np.uint64(0))


def logic3(table: int, a: Word, b: Word, c: Word) -> Word:
    """Three-input logic: bit 4a+2b+c of `table` is the result."""
    result: Word = 0
    for row in range(8):
        if table >> row & 1:
            term = a if row & 4 else a ^ MASK32
            term = term & (b if row & 2 else b ^ MASK32)
            result = result | (term & (c if row & 1 else c ^ MASK32))
    return result


COMPARISONS: dict[str, Callable[[Word, Word], Any]] = {
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
}
STRICT = {"LT": "LT", "LE": "LT", "GT": "GT", "GE": "GT"}


def both(one: Truth, other: Truth) -> Truth:
    """Conjunction; false where either is surely false."""
    if one is False or other is False:
        return False
    if one is True:
        return other
    if other is True:
        return one
    return None if one is None or other is None else one & other


def either(one: Truth, other: Truth) -> Truth:
    return opposite(both(opposite(one), opposite(other)))


def opposite(truth: Truth) -> Truth:
    if truth is None:
        return None
    return not truth if isinstance(truth, bool) else ~truth


def chosen(condition: Truth, one: Value, other: Value) -> Value:
    """`one` where the condition holds, else `other`."""
    if condition is True:
        return one
    if condition is False:
        return other
    if one is None or other is None:
        return None
    if isinstance(one, int) and isinstance(other, int) and one == other:
        return one
    if condition is None:
        return None
    return np.where(condition, np.asarray(one, np.uint64), np.asarray(other, np.uint64))


def float_bits(values: npt.NDArray[np.float32]) -> Lanes:
    return values.view(np.uint32).astype(np.uint64)


def as_floats(word: Word) -> npt.NDArray[np.float32]:
    """The numbers whose bits the words are."""
    return np.atleast_1d(np.asarray(word, np.uint64)).astype(np.uint32).view(np.float32)


def settled(lanes: Lanes, like: Word) -> Word:
    """An array of one lane as an integer where `like` was one."""
    return int(lanes[0]) if isinstance(like, int) else lanes
