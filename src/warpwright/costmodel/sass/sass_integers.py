"""Integer instructions of a GPU's machine code: what each makes of its operands.

Each function takes an instruction's operands, notes what it writes, and gives what computes that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from warpwright.costmodel.sass.sass_decode import Getter, Operands, Test
from warpwright.costmodel.sass.sass_values import (
    COMPARISONS,
    MASK16,
    MASK32,
    MASK64,
    SIGN32,
    SIGN64,
    STRICT,
    Truth,
    Value,
    Word,
    both,
    chosen,
    either,
    extended,
    high,
    joined,
    left,
    logic3,
    low,
    opposite,
    product,
    right,
    total,
)

Run = Callable[[], tuple[object, ...]]


def known(function: Callable[..., tuple[object, ...]], readers: list[Getter], results: int) -> Run:
    """Carry out a function of known words; of an unknown one nothing is known."""
    nothing = (None,) * results

    def run() -> tuple[object, ...]:
        values = [reader() for reader in readers]
        for value in values:
            if value is None:
                return nothing
        return function(*values)

    return run


def _count(truth: Truth) -> Word:
    if isinstance(truth, bool):
        return int(truth)
    return np.asarray(truth).astype(np.uint64)


def _destination(operands: Operands, words: int = 1) -> int:
    """Note the register written and the predicates behind it; the first source's position."""
    operands.target(0, words)
    position = 1
    while operands.is_predicate(position):
        operands.target(position)
        position += 1
    return position


def _tests(operands: Operands, position: int) -> list[Getter]:
    """The carries that come in, as numbers."""

    def number(test: Test) -> Value:
        truth = test()
        return None if truth is None else _count(truth)

    found: list[Getter] = []
    for i in range(position, len(operands)):
        if operands.is_predicate(i):
            found.append(partial(number, operands.test(i)))
    return found


def add(operands: Operands) -> Run:
    """IADD3, IADD, VIADD, of 32 or 64 bits, with carries in and out; VIADD of two halves."""
    if "16x2" in operands.modifiers:
        return _add_halves(operands)
    wide = any(m in ("64", "U64", "S64") for m in operands.modifiers)
    position = _destination(operands, 2 if wide else 1)
    end = position
    while end < len(operands) and not operands.is_predicate(end):
        end += 1
    take = operands.wide if wide else operands.word
    # of a negated word the hardware adds the inverse and one, which carries where the word is zero
    whole = 1 << (64 if wide else 32)
    negated = [operands[i].negated and operands[i].text != "-RZ" for i in range(position, end)]
    readers = [take(i) for i in range(position, end)]
    carries = _tests(operands, end) if "X" in operands.modifiers else []
    outs = len(operands.writes) - (2 if wide else 1)

    def compute(*words: Word) -> tuple[object, ...]:
        result = total(*words)
        if wide:
            return (low(result), high(result), *[None] * outs)
        made: list[object] = [result & MASK32]
        if outs:
            full = result
            for word, minus in zip(words, negated, strict=False):
                if minus:
                    full = full + _count(word == 0) * whole
            made.append(full >= whole)
            made += [full >= 2 * whole] * (outs - 1)
        return tuple(made)

    return known(compute, [*readers, *carries], len(operands.writes))


def multiply(operands: Operands) -> Run:
    """IMAD in all its forms: also moves, shifts and sums that go by that name."""
    modifiers = operands.modifiers
    signed = "U32" not in modifiers
    wide, upper = "WIDE" in modifiers, "HI" in modifiers
    position = _destination(operands, 2 if wide else 1)
    outs = len(operands.writes) - (2 if wide else 1)
    readers = [operands.word(position), operands.word(position + 1)]
    readers.append((operands.wide if wide or upper else operands.word)(position + 2))
    carries = _tests(operands, position + 3) if "X" in modifiers else []

    def compute(a: Word, b: Word, c: Word, *carry: Word) -> tuple[object, ...]:
        if not wide and not upper:
            return (low(total(product(a, b), c, *carry)), *[None] * outs)
        if signed:
            a, b = extended(a), extended(b)
        result = total(product(a, b), c, *carry)
        out = [result < c] * outs
        return (low(result), high(result), *out) if wide else (high(result), *out)

    return known(compute, [*readers, *carries], len(operands.writes))


def shift_and_add(operands: Operands) -> Run:
    """LEA: a word shifted to the left, or the upper half of that, and another one added."""
    modifiers = operands.modifiers
    upper, extends = "HI" in modifiers, "SX32" in modifiers
    position = _destination(operands)
    outs = len(operands.writes) - 1
    readers = [operands.word(position), operands.word(position + 1)]
    by = position + 2
    if upper and not extends:
        readers.append(operands.word(by))
        by += 1
    readers.append(operands.word(by))
    carries = _tests(operands, by + 1) if "X" in modifiers else []

    def compute(a: Word, b: Word, *rest: Word) -> tuple[object, ...]:
        if upper and extends:
            shifted, carry = high(left(extended(a), rest[0])), rest[1:]
        elif upper:
            shifted, carry = high(left(joined(a, rest[0]), rest[1])), rest[2:]
        else:
            shifted, carry = low(left(a, rest[0])), rest[1:]
        full = total(shifted, b, *carry)
        return (low(full), *[full > MASK32] * outs)

    return known(compute, [*readers, *carries], len(operands.writes))


def shift(operands: Operands) -> Run:
    """SHF: two words side by side, shifted; the lower or the upper one of the result."""
    modifiers = operands.modifiers
    signed = any(m in ("S32", "S64") for m in modifiers)
    leftwards, upper = "L" in modifiers, "HI" in modifiers
    narrow = any(m in ("U32", "S32") for m in modifiers)
    operands.target(0)
    readers = [operands.word(i) for i in (1, 2, 3)]

    def compute(lower: Word, by: Word, above: Word) -> tuple[object, ...]:
        if "W" in modifiers:
            by = by & (31 if narrow else 63)
        both_words = joined(lower, above)
        moved = left(both_words, by) if leftwards else right(both_words, by, signed)
        return (high(moved) if upper else low(moved),)

    return known(compute, readers, 1)


def logic(operands: Operands) -> Run:
    """LOP3: any function of three bits, for each bit of three words."""
    position = 0
    if operands.is_predicate(0):
        operands.target(0)
        position = 1
    operands.target(position)
    sources = [operands.word(position + i) for i in (1, 2, 3)]
    table = operands[position + 4].value
    given = operands.test(position + 5) if operands.is_predicate(position + 5) else None

    def run() -> tuple[object, ...]:
        a, b, c = (source() for source in sources)
        result = _three(table, a, b, c)
        if position == 0:
            return (result,)
        truth: Truth = None if result is None else _truth(result != 0)
        if given is not None and given() is not False:
            truth = either(truth, given())
        return truth, result

    return run


def _truth(value: object) -> Truth:
    return value if isinstance(value, (bool, np.ndarray)) else bool(value)


def _three(table: int, a: Value, b: Value, c: Value) -> Value:
    """Logic of three words, of which some may be unknown if the others settle the result."""
    if a is not None and b is not None and c is not None:
        return logic3(table, a, b, c)
    sides = [(0, MASK32) if word is None else (word,) for word in (a, b, c)]
    first, *others = (logic3(table, *words) for words in itertools.product(*sides))
    return first if all(np.array_equal(first, other) for other in others) else None


def predicate_logic(operands: Operands) -> Run:
    """PLOP3: any function of three predicates, and a second one of the same."""
    operands.target(0)
    operands.target(1)
    tests = [operands.test(i) for i in (2, 3, 4)]
    tables = [operands[i].value for i in (5, 6)]

    def run() -> tuple[object, ...]:
        given = [test() for test in tests]
        return tuple(_looked_up(table, given) for table in tables)

    return run


def _looked_up(table: int, given: list[Truth]) -> Truth:
    result: Truth = False
    for row in range(8):
        if table >> row & 1:
            term: Truth = True
            for bit, truth in zip((4, 2, 1), given, strict=True):
                term = both(term, truth if row & bit else opposite(truth))
            result = either(result, term)
    if result is None:  # the same whatever an unknown one is?
        for i, truth in enumerate(given):
            if truth is None:
                sides = [_looked_up(table, [*given[:i], side, *given[i + 1 :]])
                         for side in (False, True)]  # fmt: skip
                if isinstance(sides[0], bool) and sides[0] is sides[1]:
                    return sides[0]
    return result


def compare(operands: Operands) -> Run:
    """ISETP: a comparison joined with a predicate; `.EX` compares upper words after lower ones."""
    modifiers = operands.modifiers
    wide = any(m in ("U64", "S64", "64") for m in modifiers)
    unsigned = any(m in ("U32", "U64") for m in modifiers)
    name = next((m for m in modifiers if m in COMPARISONS), None)
    joins = {"AND": both, "OR": either}.get(
        next((m for m in modifiers if m in ("AND", "OR", "XOR")), "")
    )
    operands.target(0)
    operands.target(1)
    take = operands.wide if wide else operands.word
    a, b = take(2), take(3)
    given = operands.test(4) if len(operands) > 4 else lambda: True
    below = operands.test(5) if "EX" in modifiers and len(operands) > 5 else None
    sign = SIGN64 if wide else SIGN32

    def run() -> tuple[object, ...]:
        one, other, truth = a(), b(), given()
        if joins is None or name is None:
            return None, None
        if one is None or other is None:
            return joins(None, truth), joins(None, truth)
        if not unsigned:
            one, other = one ^ sign, other ^ sign
        result = _truth(COMPARISONS[name](one, other))
        if below is not None:
            result = _extended_comparison(name, one, other, below())
        return joins(result, truth), joins(opposite(result), truth)

    return run


def _extended_comparison(name: str, one: Word, other: Word, below: Truth) -> Truth:
    equal = _truth(one == other)
    if name == "NE":
        return either(opposite(equal), below)
    if name == "EQ":
        return both(equal, below)
    return either(_truth(COMPARISONS[STRICT[name]](one, other)), both(equal, below))


def move(operands: Operands) -> Run:
    """MOV and loads from a constant bank: one to four words."""
    bits = next((int(m) for m in operands.modifiers if m in ("64", "128")), 32)
    source = operands[1]
    operands.target(0, bits // 32)
    readers: list[Getter]
    if bits == 32:
        readers = [operands.word(1)]
    elif source.negated or source.inverted:
        readers = [lambda: None] * (bits // 32)
    else:
        readers = [operands._plain(source, word) for word in range(bits // 32)]
    if any(m in ("U8", "S8", "U16", "S16") for m in operands.modifiers):
        readers = [lambda: None] * len(readers)
    return lambda: tuple(reader() for reader in readers)


def select(operands: Operands) -> Run:
    """SEL: one of two words by a predicate."""
    operands.target(0)
    one, other, test = operands.word(1), operands.word(2), operands.test(3)
    return lambda: (chosen(test(), one(), other()),)


def extreme(operands: Operands) -> Run:
    """IMNMX, VIMNMX, VIMNMX3: the smallest word where the predicate holds, else the largest. Newer
    forms also say which it was, in two predicates."""
    first = _destination(operands)
    outs = [None] * (len(operands.writes) - 1)
    count = 3 if operands.instruction.name == "VIMNMX3" else 2
    sign = 0 if "U32" in operands.modifiers else SIGN32
    readers = [operands.word(first + i) for i in range(count)]
    test = operands.test(first + count)

    def run() -> tuple[object, ...]:
        words, least = [reader() for reader in readers], test()
        if least is None:
            return (None, *outs)
        found: Value = words[0]
        for word in words[1:]:
            if found is None or word is None:
                return (None, *outs)
            smaller = _truth((found ^ sign) < (word ^ sign))
            found = chosen(least, chosen(smaller, found, word), chosen(smaller, word, found))
        return (found, *outs)

    return run


def _add_halves(operands: Operands) -> Run:
    """VIADD.16x2: both halves of a word on their own; no carry passes from one to the other."""
    operands.target(0)

    def compute(a: Word, b: Word) -> tuple[object, ...]:
        lower = (a & MASK16) + (b & MASK16) & MASK16
        return (lower | ((a >> 16) + (b >> 16) & MASK16) << 16,)

    return known(compute, [operands.word(1), operands.word(2)], 1)


def add_and_extreme(operands: Operands) -> Run:
    """VIADDMNMX: the smaller of a sum and a third word where the predicate holds, else the larger;
    of its forms for halves nothing is known."""
    operands.target(0)
    one, other, third, test = (*(operands.word(i) for i in (1, 2, 3)), operands.test(4))
    sign = 0 if "U32" in operands.modifiers else SIGN32
    halves = any("16" in modifier for modifier in operands.modifiers)

    def run() -> tuple[object, ...]:
        a, b, c, least = one(), other(), third(), test()
        if halves or a is None or b is None or c is None or least is None:
            return (None,)
        added = total(a, b) & MASK32
        smaller = _truth((added ^ sign) < (c ^ sign))
        return (chosen(least, chosen(smaller, added, c), chosen(smaller, c, added)),)

    return run


def absolute(operands: Operands) -> Run:
    """IABS."""
    operands.target(0)

    def compute(a: Word) -> tuple[object, ...]:
        return (
            chosen(_truth((a & SIGN32) != 0), (-a if isinstance(a, int) else 0 - a) & MASK32, a),
        )

    return known(compute, [operands.word(1)], 1)


def extend(operands: Operands) -> Run:
    """SGXT: the lower bits of a word, with copies of their sign or zeros above."""
    operands.target(0)
    unsigned = "U32" in operands.modifiers

    def compute(a: Word, bits: Word) -> tuple[object, ...]:
        if not isinstance(bits, int) or not 0 < bits <= 32:
            return (None,)
        kept = a & ((1 << bits) - 1)
        if unsigned:
            return (kept,)
        sign = 1 << (bits - 1)
        return (((kept ^ sign) - sign) & MASK32,)

    return known(compute, [operands.word(1), operands.word(2)], 1)


def permute(operands: Operands) -> Run:
    """PRMT: four bytes chosen from two words."""
    operands.target(0)
    plain = not operands.modifiers

    def compute(a: Word, picks: Word, b: Word) -> tuple[object, ...]:
        if not isinstance(picks, int) or not plain:
            return (None,)
        words = joined(a, b)
        result: Word = 0
        for place in range(4):
            pick = picks >> 4 * place & 0xF
            byte = right(words, 8 * (pick & 7)) & 0xFF
            if pick & 8:
                byte = (byte >> 7) * 0xFF
            result = result | (byte << 8 * place)
        return (result,)

    return known(compute, [operands.word(1), operands.word(2), operands.word(3)], 1)


def mask_bits(operands: Operands) -> Run:
    """BMSK: so many ones from a place on."""
    operands.target(0)

    def compute(start: Word, bits: Word) -> tuple[object, ...]:
        ones = (left(1, bits) - 1) & MASK64 if isinstance(bits, int) else left(1, bits) - 1
        return (low(left(ones, start)),)

    return known(compute, [operands.word(1), operands.word(2)], 1)


def first_one(operands: Operands) -> Run:
    """FLO: the place of the highest one; of zero it is all ones."""
    operands.target(0)
    if "U32" not in operands.modifiers or "SH" in operands.modifiers:
        return lambda: (None,)

    def compute(a: Word) -> tuple[object, ...]:
        if isinstance(a, int):
            return ((a.bit_length() - 1) & MASK32,)
        places = np.frexp(a.astype(np.float64))[1] - 1
        return (np.where(a == 0, np.uint64(MASK32), places.astype(np.int64).astype(np.uint64)),)

    return known(compute, [operands.word(1)], 1)


def count_ones(operands: Operands) -> Run:
    """POPC."""
    operands.target(0)

    def compute(a: Word) -> tuple[object, ...]:
        if isinstance(a, int):
            return (a.bit_count(),)
        return (sum(((a >> bit) & 1 for bit in range(32)), np.zeros_like(a)),)

    return known(compute, [operands.word(1)], 1)
