"""An instruction of machine code becomes something that can be carried out on known words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_shared import SharedMemory
from warpwright.costmodel.sass.sass_values import (
    Truth,
    Value,
    Word,
    inverse,
    joined,
    negative,
    opposite,
)
from warpwright.types.machine_code import MachineInstruction, MachineOperand, OperandKind

Registers = dict[str, object]
Getter = Callable[[], Value]
Test = Callable[[], Truth]
SharedUse = Callable[[SharedMemory, npt.NDArray[np.bool_]], tuple[object, ...]]
Constants = Callable[[int, int], int | None]
LOCAL = "local memory"
SHARED = "shared memory"
_REGISTERS = (OperandKind.REGISTER, OperandKind.UNIFORM)
_PREDICATES = (OperandKind.PREDICATE, OperandKind.UNIFORM_PREDICATE)
_TRUE = ("PT", "UPT", "!PT", "!UPT")


@dataclass(slots=True)
class Surroundings:
    """What instructions read beside registers: special registers by name, constants, lanes.

    `lanes`: how many threads are carried out together, 32 to a warp.
    """

    special: Mapping[str, Word]
    constants: Constants
    lanes: int
    threads: int = 32  # in a block


@dataclass(slots=True)
class DecodedStep:
    """A decoded instruction: `run` gives the values of `writes`, in order.

    `reads` and `writes` name registers. `guard` is None where it is always carried out.
    """

    instruction: MachineInstruction
    run: Callable[[], tuple[object, ...]] | None
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    guard: Test | None
    guard_reads: tuple[str, ...] = ()
    address: Getter | None = None  # of an access to global memory
    shared: SharedUse | None = None
    """What it does with shared memory, given the lanes that take part."""


@dataclass(slots=True)
class Operands:
    """The operands of one instruction as readers of registers, which it notes down.

    A register that nothing wrote reads as zero: what a right program does cannot depend on it.
    """

    instruction: MachineInstruction
    registers: Registers
    around: Surroundings
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.instruction.operands)

    def __getitem__(self, position: int) -> MachineOperand:
        return self.instruction.operands[position]

    @property
    def modifiers(self) -> tuple[str, ...]:
        return self.instruction.modifiers

    def is_predicate(self, position: int) -> bool:
        return position < len(self) and is_predicate(self[position])

    def target(self, position: int, words: int = 1) -> None:
        """Note that the operand is written, with `words` registers."""
        operand = self[position]
        if operand.kind in _REGISTERS:
            self.writes += [f"{operand.kind}{operand.index + i}" for i in range(words)]
        elif operand.kind in _PREDICATES:
            self.writes.append(f"{operand.kind}{operand.index}")
        else:  # RZ or PT: written to no avail
            self.writes += [""] * words

    def word(self, position: int) -> Getter:
        """A reader of a 32-bit operand, with its sign."""
        return self._signed(self[position], self._plain(self[position], 0), wide=False)

    def wide(self, position: int) -> Getter:
        """A reader of a 64-bit operand: two registers or constants in a row."""
        operand = self[position]
        if operand.kind is OperandKind.NUMBER:
            value = operand.value & (2**64 - 1)
            return self._signed(operand, lambda: value, wide=True)
        return self._signed(operand, self.pair(operand), wide=True)

    def pair(self, operand: MachineOperand) -> Getter:
        lower, upper = self._plain(operand, 0), self._plain(operand, 1)

        def read() -> Value:
            one, other = lower(), upper()
            return None if one is None or other is None else joined(one, other)

        return read

    def _plain(self, operand: MachineOperand, word: int) -> Getter:
        if operand.kind is OperandKind.NUMBER:
            number = operand.value & 0xFFFFFFFF if word == 0 else 0
            return lambda: number
        if operand.kind is OperandKind.CONSTANT:
            constant = self.around.constants(operand.bank, operand.value + 4 * word)
            return lambda: constant
        if operand.kind in _REGISTERS:
            name = f"{operand.kind}{operand.index + word}"
            self.reads.append(name)
            get = self.registers.get
            return lambda: get(name, 0)  # type: ignore[return-value]
        return lambda: None

    @staticmethod
    def _signed(operand: MachineOperand, read: Getter, wide: bool) -> Getter:
        if operand.absolute:
            return lambda: None  # of a floating-point number
        if not operand.negated and not operand.inverted:
            return read
        change = negative if operand.negated else inverse
        mask = 2**64 - 1 if wide else 2**32 - 1

        def signed() -> Value:
            value = read()
            return None if value is None else change(value, mask)

        return signed

    def test(self, position: int) -> Test:
        return self.test_of(self[position])

    def test_of(self, operand: MachineOperand) -> Test:
        """A reader of a predicate."""
        if operand.kind is OperandKind.NUMBER:
            fixed = bool(operand.value) != operand.inverted
            return lambda: fixed
        if operand.kind not in _PREDICATES:
            return lambda: None
        name = f"{operand.kind}{operand.index}"
        self.reads.append(name)
        get = self.registers.get
        if operand.inverted:
            return lambda: opposite(get(name, False))  # type: ignore[arg-type]
        return lambda: get(name, False)  # type: ignore[return-value]

    def memory_address(self, operand: MachineOperand) -> Getter:
        """A reader of a 64-bit address in global memory."""
        readers: list[Getter] = []
        for part in operand.parts:
            if part.text == ".U32":
                readers.append(self._plain(part, 0))
            elif part.kind in _REGISTERS and not part.text.startswith(".X"):
                readers.append(self.pair(part))
            else:
                readers.append(lambda: None)
        offset = operand.value & (2**64 - 1)

        def read() -> Value:
            total: Word = offset
            for reader in readers:
                value = reader()
                if value is None:
                    return None
                total = total + value
            return total & (2**64 - 1)

        return read


def is_predicate(operand: MachineOperand) -> bool:
    """Whether an operand is a predicate, true and false among them."""
    return operand.kind in _PREDICATES or operand.text in _TRUE


def written_words(instruction: MachineInstruction) -> int:
    """How many registers in a row an instruction writes that is not carried out here."""
    modifiers = instruction.modifiers
    shape = next((m for m in modifiers if re.fullmatch(r"\d+x\d+x\d+", m)), None)
    if instruction.name.endswith("GMMA") and shape is not None:
        return int(shape.split("x")[1]) // (4 if "F16" in modifiers[-1:] else 2)
    repeated = next((m for m in modifiers if re.fullmatch(r"x\d+", m)), None)
    if repeated is not None:  # loads of tensor memory
        return int(repeated[1:])
    if instruction.name in ("LDSM", "LDS", "LDG", "LD", "LDL") and "4" in modifiers:
        return 4
    if instruction.name.endswith("MMA"):
        halves = modifiers[1:2] == ("F16",) or modifiers[:1] == ("8816",)
        return 2 if halves or instruction.name == "DMMA" else 4
    for bits, words in (("256", 8), ("128", 4), ("64", 2), ("2", 2)):
        if bits in modifiers:
            return words
    packed = instruction.name in ("FADD2", "FMUL2", "FFMA2")
    doubled = instruction.name[:1] == "D" or packed or "F64" in modifiers
    return 2 if doubled else 1
