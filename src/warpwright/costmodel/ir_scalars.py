"""Integer arithmetic of a kernel, worked out where its operands are known.

Loop bounds and conditions are scalars of a few operations. What is not one of them, or has an
operand that is not known, gives None.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from warpwright.types.kernel_ir import IrOperation

Scalar = int | float
MAX_MAGNITUDE = 1 << 63

_CONSTANT = re.compile(r"arith\.constant\s+(?:\{[^}]*\}\s*)?(true|false|-?\d{1,20})\b(?!\.)")
_COMPARISON = re.compile(r"arith\.cmpi\s+(\w+)")


def _quotient(a: int, b: int) -> int:
    """Towards zero, as the hardware divides."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_BINARY: dict[str, Callable[[int, int], int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.divsi": _quotient,
    "arith.divui": _quotient,
    "arith.ceildivsi": lambda a, b: -(-a // b),
    "arith.ceildivui": lambda a, b: -(-a // b),
    "arith.floordivsi": operator.floordiv,
    "arith.remsi": lambda a, b: a - _quotient(a, b) * b,
    "arith.remui": lambda a, b: a - _quotient(a, b) * b,
    "arith.minsi": min,
    "arith.minui": min,
    "arith.maxsi": max,
    "arith.maxui": max,
    "arith.andi": operator.and_,
    "arith.ori": operator.or_,
    "arith.xori": operator.xor,
    "arith.shrsi": lambda a, b: a >> min(b, 64),
    "arith.shrui": lambda a, b: a >> min(b, 64),
    "arith.shli": lambda a, b: a << min(b, 64),
}
_SAME = frozenset(
    ("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "arith.index_castui")
)
_PREDICATES: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
    "ult": operator.lt,
    "ule": operator.le,
    "ugt": operator.gt,
    "uge": operator.ge,
}


def predicate_of(comparison: IrOperation) -> str | None:
    """How an `arith.cmpi` compares (`slt`, `eq`), or None where its text does not say."""
    match = _COMPARISON.search(comparison.text)
    return None if match is None else match[1]


def axis_of(operation: IrOperation) -> int | None:
    """The axis of the grid that a `tt.get_program_id` or `tt.get_num_programs` asks for."""
    return next((i for i, axis in enumerate("xyz") if f" {axis} " in operation.text), None)


def scalar_value(operation: IrOperation, known: Mapping[str, int]) -> int | None:
    """The integer that an operation makes of known integers, or None."""
    if operation.name == "arith.constant":
        match = _CONSTANT.search(operation.text)
        if match is None or (operation.types and operation.types[-1].shape):
            return None
        return {"true": 1, "false": 0}.get(match[1]) if match[1][0] in "tf" else int(match[1])
    operands = [known.get(name) for name in operation.operands]
    if operation.name == "arith.select" and len(operands) == 3:
        return None if operands[0] is None else operands[1 if operands[0] else 2]
    values = [value for value in operands if value is not None]
    if not values or len(values) < len(operands):
        return None
    try:
        value = _computed(operation, values)
    except (ArithmeticError, ValueError):
        return None
    return value if value is not None and abs(value) <= MAX_MAGNITUDE else None


def _computed(operation: IrOperation, values: list[int]) -> int | None:
    if operation.name in _SAME and len(values) == 1:
        return values[0]
    if len(values) != 2:
        return None
    if operation.name == "arith.cmpi":
        compare = _PREDICATES.get(predicate_of(operation) or "")
        return None if compare is None else int(compare(*values))
    function = _BINARY.get(operation.name)
    return None if function is None else function(*values)
