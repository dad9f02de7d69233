"""Floating-point instructions that index arithmetic goes through, on known words of 32 bits.

Divisions by run-time numbers begin with a reciprocal; some programs divide indices as floats.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_decode import Getter, Operands
from warpwright.costmodel.sass.sass_integers import Run, known
from warpwright.costmodel.sass.sass_values import (
    COMPARISONS,
    MASK32,
    SIGN32,
    Truth,
    Value,
    Word,
    as_floats,
    both,
    chosen,
    either,
    float_bits,
    high,
    low,
    opposite,
    settled,
)
from warpwright.types.machine_code import OperandKind

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_LITERAL = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|INF)", re.IGNORECASE)
_ROUNDED: dict[str, Callable[[Doubles], Doubles]] = {
    "TRUNC": np.trunc,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
}
_JOINS = {"AND": both, "OR": either}
_UNKNOWN_FORMS = frozenset(("RZ", "RM", "RP", "SAT", "D2", "D4", "D8", "M2", "M4", "M8"))


def to_float(operands: Operands) -> Run:
    """I2F of 32-bit integers, and of 64-bit ones where rounded up: what a division begins with."""
    modifiers = operands.modifiers
    wide = "U64" in modifiers or "S64" in modifiers
    operands.target(0, 2 if "F64" in modifiers else 1)
    if "F64" in modifiers or "F16" in modifiers:
        return lambda: (None,) * len(operands.writes)
    unsigned = "U32" in modifiers or "U64" in modifiers
    source = operands.wide(1) if wide else operands.word(1)

    def compute(a: Word) -> tuple[object, ...]:
        whole = np.atleast_1d(np.asarray(a, np.uint64))
        exact = whole if unsigned else (whole.astype(np.uint32).view(np.int32))
        rounded = exact.astype(np.float32)
        if "RP" in modifiers:
            low_by = rounded.astype(np.float64) < exact.astype(np.float64)
            rounded = np.where(low_by, np.nextafter(rounded, np.float32(np.inf)), rounded)
        return (settled(float_bits(rounded.astype(np.float32)), a),)

    return known(compute, [source], 1)


def reciprocal(operands: Operands) -> Run:
    """MUFU.RCP; of its other functions nothing is known."""
    operands.target(0)
    if operands.modifiers[:1] != ("RCP",):
        return lambda: (None,)

    def compute(a: Word) -> tuple[object, ...]:
        with np.errstate(all="ignore"):
            return (settled(float_bits((np.float32(1) / as_floats(a)).astype(np.float32)), a),)

    return known(compute, [_number(operands, 1)], 1)


def to_integer(operands: Operands) -> Run:
    """F2I of float32, in each way of rounding, to signed or unsigned integers; no number is 0."""
    modifiers = operands.modifiers
    wide = "U64" in modifiers or "S64" in modifiers
    signed = not ("U32" in modifiers or "U64" in modifiers)
    operands.target(0, 2 if wide else 1)
    narrow = any(m in ("F64", "F16", "BF16", "U16", "S16", "U8", "S8") for m in modifiers)
    if narrow or (wide and signed):
        return lambda: (None,) * len(operands.writes)
    rounded = next((_ROUNDED[m] for m in modifiers if m in _ROUNDED), np.rint)
    least = -(2.0**31) if signed else 0.0
    most = 2.0**31 - 1 if signed else 2.0**63 if wide else float(MASK32)

    def compute(a: Word) -> tuple[object, ...]:
        numbers = np.nan_to_num(
            as_floats(a).astype(np.float64), nan=0.0, posinf=2.0**63, neginf=-(2.0**63)
        )
        clipped = np.clip(rounded(numbers), least, most)
        whole = clipped.astype(np.int64).astype(np.uint64) if signed else clipped.astype(np.uint64)
        result = settled(whole, a)
        return (low(result), high(result)) if wide else (low(result),)

    return known(compute, [_number(operands, 1)], len(operands.writes))


def arithmetic(operands: Operands) -> Run:
    """FADD, FMUL and FFMA, rounded to nearest.

    Worked out in float64 and rounded once more, which differs from the hardware's single rounding
    in one of about 2**29 fused products.
    """
    operands.target(0)
    terms = 3 if operands.instruction.name == "FFMA" else 2
    if not _UNKNOWN_FORMS.isdisjoint(operands.modifiers) or len(operands) < 1 + terms:
        return lambda: (None,)
    adds = operands.instruction.name == "FADD"

    def compute(*words: Word) -> tuple[object, ...]:
        one, other, *rest = (as_floats(word).astype(np.float64) for word in words)
        with np.errstate(all="ignore"):
            result = one + other if adds else one * other
            for addend in rest:
                result = result + addend
            bits = float_bits(result.astype(np.float32))
        return (int(bits[0]) if all(isinstance(word, int) for word in words) else bits,)

    return known(compute, [_number(operands, 1 + i) for i in range(terms)], 1)


def compare(operands: Operands) -> Run:
    """FSETP: a comparison joined with a predicate; with a `U` it holds of what is no number too."""
    name = next((m for m in operands.modifiers if m.removesuffix("U") in COMPARISONS), None)
    joins = next((_JOINS[m] for m in operands.modifiers if m in _JOINS), None)
    operands.target(0)
    operands.target(1)
    one, other = _number(operands, 2), _number(operands, 3)
    given = operands.test(4) if len(operands) > 4 else lambda: True

    def run() -> tuple[object, ...]:
        a, b, truth = one(), other(), given()
        if joins is None or name is None:
            return None, None
        result: Truth = None
        if a is not None and b is not None:
            x, y = as_floats(a), as_floats(b)
            holds = COMPARISONS[name.removesuffix("U")](x, y)
            no_number = np.isnan(x) | np.isnan(y)
            lanes = holds | no_number if name.endswith("U") else holds & ~no_number
            result = bool(lanes[0]) if isinstance(a, int) and isinstance(b, int) else lanes
        return joins(result, truth), joins(opposite(result), truth)

    return run


def select(operands: Operands) -> Run:
    """FSEL: one of two numbers by a predicate."""
    operands.target(0)
    one, other, test = _number(operands, 1), _number(operands, 2), operands.test(3)
    return lambda: (chosen(test(), one(), other()),)


def _number(operands: Operands, position: int) -> Getter:
    """A reader of the bits of a float32, with its sign; numbers stand as decimals in the code."""
    operand = operands[position]
    if operand.kind in (OperandKind.NUMBER, OperandKind.OTHER) and "RZ" not in operand.text:
        if not _LITERAL.fullmatch(operand.text):
            return lambda: None
        bits = int(float_bits(np.asarray([float(operand.text)], np.float32))[0])
        return lambda: bits
    read = operands._plain(operand, 0)
    if not operand.negated and not operand.absolute:
        return read
    flipped = SIGN32 if operand.negated else 0
    kept = MASK32 ^ SIGN32 if operand.absolute else MASK32

    def signed() -> Value:
        word = read()
        return None if word is None else (word & kept) ^ flipped

    return signed
