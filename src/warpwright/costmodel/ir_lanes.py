"""Integers of a block, lane by lane, as if they had as many bits as they need.

Beside each value stands whether the hardware's integers, which have 32 or 64 bits, hold another
one. Sums and products that leave the 32 bits and come back are right in the end, because both
wrap alike; a quotient, a comparison or a wider integer made of a value that left them is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.ir_scalars import predicate_of
from warpwright.types.kernel_ir import IrOperation, TensorType

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
LARGEST = 2.0**62  # beyond it our own integers would wrap
MAX_LANES = 1 << 18
INDEX_BITS = 64

_CONSTANT = re.compile(
    r"arith\.constant\s+(?:dense<(?P<all>-?\d+|true|false)>|(?P<one>-?\d+|true|false)\b)"
)
_RANGE = re.compile(r"(start|end)\s*=\s*(-?\d+)")
_AXIS = re.compile(r"axis\s*=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class IrLanes:
    """`ideal`: the values without a limit of bits; `wrong`: where the hardware has another.

    `pointer` names the parameter that a pointer starts from; `ideal` is its offset in elements.
    """

    ideal: Integers
    wrong: Flags
    bits: int
    pointer: str | None = None


def scalar(value: int, bits: int = 64, pointer: str | None = None) -> IrLanes:
    """One known value."""
    return IrLanes(np.array(value, np.int64), np.array(False), bits, pointer)


def lanes_of(operation: IrOperation, operands: Sequence[IrLanes | None]) -> IrLanes | None:
    """What an operation makes of its operands; None where that is not known."""
    kind = operation.types[-1] if operation.types else None
    if kind is None or kind.elements > MAX_LANES:
        return None
    if operation.name == "arith.constant":
        return _constant(operation, kind)
    if operation.name == "tt.make_range":
        bounds = {name: int(value) for name, value in _RANGE.findall(operation.text)}
        if len(bounds) < 2 or kind.shape != (bounds["end"] - bounds["start"],):
            return None
        values = np.arange(bounds["start"], bounds["end"], dtype=np.int64)
        return IrLanes(values, np.zeros(values.shape, bool), 32)
    known = [operand for operand in operands if operand is not None]
    if not known or len(known) < len(operands):
        return _half_known(operation, operands)
    made = _shaped(operation, known, kind)
    if made is None and len({lanes.ideal.shape for lanes in known} - {()}) <= 1:
        made = _computed(operation, known, kind)  # other shapes: text that no compiler printed
    return None if made is None or made.ideal.shape != kind.shape else made


def _constant(operation: IrOperation, kind: TensorType) -> IrLanes | None:
    match = _CONSTANT.search(operation.text)
    bits = integer_bits(kind)
    if match is None or bits is None or kind.pointer:
        return None
    text = match["all"] or match["one"]
    value = {"true": 1, "false": 0}.get(text)
    whole = int(text) if value is None else value
    if abs(whole) > LARGEST:
        return None
    return IrLanes(np.full(kind.shape, whole, np.int64), np.zeros(kind.shape, bool), bits)


def integer_bits(kind: TensorType) -> int | None:
    """Bits of an integer type; None for another."""
    if kind.element == "index":
        return INDEX_BITS
    return int(kind.element[1:]) if re.fullmatch(r"i\d+", kind.element) else None


def _half_known(operation: IrOperation, operands: Sequence[IrLanes | None]) -> IrLanes | None:
    """A conjunction with a known false is false, whatever the other side is."""
    if operation.name != "arith.andi" or len(operands) != 2:
        return None
    one = operands[0] or operands[1]
    if one is None or one.bits != 1 or one.ideal.any() or one.wrong.any():
        return None
    return one


def _shaped(operation: IrOperation, known: Sequence[IrLanes], kind: TensorType) -> IrLanes | None:
    """Operations that only lay values out anew."""
    first = known[0]
    if operation.name in ("tt.splat", "tt.broadcast"):
        if first.ideal.ndim not in (0, len(kind.shape)):
            return None
        return _mapped(first, lambda values: np.broadcast_to(values, kind.shape))
    if operation.name == "tt.expand_dims":
        axis = _AXIS.search(operation.text)
        return None if axis is None else _mapped(first, lambda v: np.expand_dims(v, int(axis[1])))
    if operation.name == "tt.reshape" and first.ideal.size == kind.elements:
        return _mapped(first, lambda values: values.reshape(kind.shape))
    return None


def _mapped(
    lanes: IrLanes, change: Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]
) -> IrLanes | None:
    try:
        return IrLanes(
            np.asarray(change(lanes.ideal), np.int64),
            np.asarray(change(lanes.wrong), bool),
            lanes.bits,
            lanes.pointer,
        )
    except ValueError:  # a shape that does not fit: text that no compiler printed
        return None


_RING: dict[str, np.ufunc] = {
    "arith.addi": np.add,
    "arith.subi": np.subtract,
    "arith.muli": np.multiply,
}
_BITWISE: dict[str, np.ufunc] = {
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
}
_EXTREMES: dict[str, np.ufunc] = {"arith.minsi": np.minimum, "arith.maxsi": np.maximum}
_COMPARISONS: dict[str, np.ufunc] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "slt": np.less,
    "sle": np.less_equal,
    "sgt": np.greater,
    "sge": np.greater_equal,
}


def _computed(operation: IrOperation, known: Sequence[IrLanes], kind: TensorType) -> IrLanes | None:
    bits = integer_bits(kind)
    name = operation.name
    if name == "tt.addptr" and len(known) == 2:
        return _moved(*known)
    if name == "arith.select" and len(known) == 3:
        return _selected(*known)
    if bits is None:
        return None
    if name in ("arith.extsi", "arith.index_cast") and len(known) == 1:
        return IrLanes(known[0].ideal, _left(known[0]), bits)
    if len(known) != 2:
        return None
    one, other = known
    wrong = one.wrong | other.wrong
    if name in _RING:
        ideal = _ring(_RING[name], one.ideal, other.ideal)
        return None if ideal is None else IrLanes(ideal, wrong, bits)
    left = _left(one) | _left(other)
    if name in _BITWISE:
        return IrLanes(_BITWISE[name](one.ideal, other.ideal), left, bits)
    if name in _EXTREMES:
        return IrLanes(_EXTREMES[name](one.ideal, other.ideal), left, bits)
    if name == "arith.cmpi":
        compare = _COMPARISONS.get(predicate_of(operation) or "")
        if compare is None:
            return None
        return IrLanes(compare(one.ideal, other.ideal).astype(np.int64), left, 1)
    if name in ("arith.divsi", "arith.remsi") and (other.ideal != 0).all():
        quotient = np.sign(one.ideal) * np.sign(other.ideal) * (abs(one.ideal) // abs(other.ideal))
        ideal = quotient if name == "arith.divsi" else one.ideal - quotient * other.ideal
        return IrLanes(ideal, left, bits)
    return None


def _ring(function: np.ufunc, one: Integers, other: Integers) -> Integers | None:
    """Exact sums and products; None where they would leave our own integers."""
    rough = function(one.astype(float), other.astype(float))
    if not (np.abs(rough) < LARGEST).all():
        return None
    result: Integers = function(one, other)
    return result


def _left(lanes: IrLanes) -> Flags:
    """Where the value is not what its bits can hold, or was made of such a value."""
    if lanes.bits >= 64 or lanes.bits == 1:
        return lanes.wrong
    bound = 1 << (lanes.bits - 1)
    return lanes.wrong | (lanes.ideal < -bound) | (lanes.ideal >= bound)


def _moved(pointer: IrLanes, offset: IrLanes) -> IrLanes | None:
    """A pointer by an offset, which is made as wide as an address before it is added."""
    if pointer.pointer is None or offset.pointer is not None:
        return None
    ideal = _ring(np.add, pointer.ideal, offset.ideal)
    wrong = pointer.wrong | _left(offset)
    return None if ideal is None else IrLanes(ideal, wrong, 64, pointer.pointer)


def _selected(condition: IrLanes, one: IrLanes, other: IrLanes) -> IrLanes | None:
    if one.pointer != other.pointer or one.bits != other.bits:
        return None
    taken = condition.ideal != 0
    wrong = np.where(taken, one.wrong, other.wrong) | condition.wrong
    ideal = np.where(taken, one.ideal, other.ideal)
    return IrLanes(ideal, np.broadcast_to(wrong, ideal.shape), one.bits, one.pointer)
