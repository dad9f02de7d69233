"""Machine code of a kernel (SASS), as its disassembly tells it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OperandKind(StrEnum):
    """What an operand is. Registers that always read zero or true are numbers."""

    REGISTER = "R"
    UNIFORM = "UR"  # a register that a warp shares
    PREDICATE = "P"
    UNIFORM_PREDICATE = "UP"
    NUMBER = "number"
    CONSTANT = "constant"  # a word of a constant bank
    MEMORY = "memory"
    TARGET = "target"  # a label
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MachineOperand:
    """One operand. `index` numbers a register; `value` is a number, or an offset in bytes.

    `bank` is a constant bank. An address in memory is the sum of `parts`, registers, and `value`;
    the `text` of a part says how it is taken (`.64`, `.U32`, `.X4`: four times).
    `inverted`: every bit of it, or a predicate, is turned round.
    """

    kind: OperandKind
    index: int = 0
    value: int = 0
    bank: int = 0
    negated: bool = False
    inverted: bool = False
    absolute: bool = False
    parts: tuple[MachineOperand, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class MachineInstruction:
    """One instruction: `name` is its first word (`IMAD`), `modifiers` the others (`WIDE`, `U32`).

    `guard`: the predicate under which it is carried out, None for always.
    """

    address: int
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[MachineOperand, ...]
    guard: MachineOperand | None = None


@dataclass(frozen=True, slots=True)
class MachineFunction:
    """The code of one kernel with the functions that it calls; labels by address in bytes."""

    name: str
    instructions: tuple[MachineInstruction, ...]
    labels: dict[str, int]


@dataclass(frozen=True, slots=True)
class KernelBinary:
    """What of a cubin a launch needs: its code, and where its parameters lie.

    `parameters`: offset and size in bytes of each, in order, from `parameter_base` in bank 0.
    """

    function: MachineFunction
    parameter_base: int
    parameters: tuple[tuple[int, int], ...]
