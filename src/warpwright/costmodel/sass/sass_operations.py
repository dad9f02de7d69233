"""The instructions that are carried out on known words, by name; of the others nothing is known."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from warpwright.compiler.sass_text import half_pair
from warpwright.costmodel.sass import sass_floats as floats
from warpwright.costmodel.sass import sass_integers as integers
from warpwright.costmodel.sass import sass_lanes
from warpwright.costmodel.sass.sass_decode import (
    LOCAL,
    SHARED,
    DecodedStep,
    Operands,
    Registers,
    Surroundings,
    is_predicate,
    written_words,
)
from warpwright.costmodel.sass.sass_integers import Run
from warpwright.costmodel.sass.sass_partly import known_in, parts
from warpwright.costmodel.sass.sass_shared import SharedMemory
from warpwright.costmodel.sass.sass_values import (
    MASK32,
    Truth,
    Value,
    Word,
    both,
    chosen,
)
from warpwright.types.machine_code import MachineInstruction, OperandKind

GLOBAL = frozenset(("LDG", "STG", "LD", "ST", "ATOMG", "ATOM", "RED", "REDG", "LDGSTS"))

INTO_SHARED = frozenset(("STS", "STSM", "LDGSTS", "ATOMS"))


def _special(operands: Operands) -> Run:
    """S2R, S2UR, CS2R: a special register; zero where its name is SRZ."""
    words = 2 if operands.instruction.name == "CS2R" and "32" not in operands.modifiers else 1
    operands.target(0, words)
    name = operands[1].text
    value: Value = 0 if name == "SRZ" else operands.around.special.get(name)
    return lambda: (value, *([0 if name == "SRZ" else None] * (words - 1)))


def _half_constants(operands: Operands) -> Run:
    """HFMA2 of zeros and two constants: how a constant is moved beside other units."""
    operands.target(0)
    value: Value = None
    if len(operands) >= 5 and operands[1].text == "-RZ" and operands[2].text == "RZ":
        value = half_pair(operands[3].text, operands[4].text)
    return lambda: (value,)


def _pack(operands: Operands) -> Run:
    """P2R: predicates as the bits of a byte of a word."""
    place = next((int(m[1]) for m in operands.modifiers if re.fullmatch(r"B[0-3]", m)), 0)
    operands.target(0)
    rest, picked = operands.word(2), operands[3].value
    names = [f"P{i}" for i in range(7) if picked >> i & 1]
    operands.reads += names

    def run() -> tuple[object, ...]:
        word = rest()
        if word is None:
            return (None,)
        result: Word = word & (MASK32 ^ (picked << 8 * place))
        for name in names:
            truth: Truth = operands.registers.get(name, False)  # type: ignore[assignment]
            bit = 1 << 8 * place + int(name[1:])
            here = chosen(truth, bit, 0)
            if here is None:
                return (None,)
            result = result | here
        return (result,)

    return run


def _unpack(operands: Operands) -> Run:
    """R2P: bits of a word as predicates."""
    place = next((int(m[1]) for m in operands.modifiers if re.fullmatch(r"B[0-3]", m)), 0)
    part = re.search(r"\.B([0-3])", operands[1].text)
    place = int(part[1]) if part else place
    picked = operands[2].value
    bits = [i for i in range(7) if picked >> i & 1]
    operands.writes += [f"P{i}" for i in bits]
    plain = re.fullmatch(r"R(\d+)(?:\.\w+)*", operands[1].text)
    name = f"R{plain[1]}" if plain else ""
    operands.reads.append(name)

    def run() -> tuple[object, ...]:
        word: Value = operands.registers.get(name, 0)  # type: ignore[assignment]
        if word is None:
            return (None,) * len(bits)
        truths = [(word >> (8 * place + bit) & 1) != 0 for bit in bits]
        return tuple(t if isinstance(t, np.ndarray) else bool(t) for t in truths)

    return run


def _wait(operands: Operands) -> Run:
    """SYNCS with a predicate: the wait is over at the first try."""
    if not operands.is_predicate(0):
        return _nothing(operands)
    operands.target(0)
    return lambda: (True,)


def _slow_path(operands: Operands) -> Run:
    """FCHK: whether a division needs more care. It seldom does."""
    operands.target(0)
    return lambda: (False,)


def _keep(operands: Operands) -> Run:
    """STL: spilled words. They are kept by their place where all lanes use the same."""
    memory, words = operands[0], _words(operands.instruction)
    values = [operands._plain(operands[1], i) for i in range(words)]
    address = _local_address(operands, memory)
    operands.writes.append(LOCAL)
    operands.reads.append(LOCAL)

    def run() -> tuple[object, ...]:
        held = operands.registers.get(LOCAL)
        kept = dict(held) if isinstance(held, dict) else {}
        place = address()
        if not isinstance(place, int):
            return ({},)
        for i, value in enumerate(values):
            kept[place + 4 * i] = value()
        return (kept,)

    return run


def _fetch(operands: Operands) -> Run:
    """LDL: a word that was spilled."""
    words = _words(operands.instruction)
    operands.target(0, words)
    address = _local_address(operands, operands[1])
    operands.reads.append(LOCAL)

    def run() -> tuple[object, ...]:
        held, place = operands.registers.get(LOCAL), address()
        if not isinstance(held, dict) or not isinstance(place, int):
            return (None,) * words
        return tuple(held.get(place + 4 * i) for i in range(words))

    return run


def _words(instruction: MachineInstruction) -> int:
    return next((int(m) // 32 for m in instruction.modifiers if m in ("64", "128")), 1)


def _local_address(operands: Operands, memory: object) -> Callable[[], object]:
    """A reader of an address in a memory of 32 bits, which may be known in part."""
    registers = getattr(memory, "parts", ())
    offset = getattr(memory, "value", 0)
    readers = [(operands._plain(part, 0), int(part.text[2:] or 1)) for part in registers
               if part.text.startswith(".X")]  # fmt: skip
    readers += [(operands._plain(p, 0), 1) for p in registers if not p.text.startswith(".X")]

    def read() -> object:
        total: Word = offset & MASK32
        known: object = True
        for reader, times in readers:
            words, lanes = parts(reader())
            if words is None:
                return None
            known = known & lanes
            total = total + words * times
        return known_in(total & MASK32, known)

    return read


def _use_shared(step: DecodedStep, operands: Operands) -> None:
    """Note what an access to shared memory does: words go in and come out, others are unknown."""
    instruction = step.instruction
    places = [o for o in instruction.operands if o.kind is OperandKind.MEMORY]
    if not places:
        return
    operands.reads += [SHARED]
    address = _local_address(operands, places[0])
    name, words = instruction.name, _words(instruction)
    if name == "LDS":
        step.shared = lambda memory, lanes: memory.load(address(), words, lanes)
    else:
        values: list[Callable[[], Value]] = [lambda: None] * 4
        if name == "STS" and not any(m in _BYTES and _BYTES[m] < 4 for m in instruction.modifiers):
            source = instruction.operands[-1]
            values = [operands._plain(source, i) for i in range(words)]

        def store(memory: SharedMemory, lanes: npt.NDArray[np.bool_]) -> tuple[object, ...]:
            memory.store(address(), [value() for value in values], lanes)
            return ()

        step.shared = store
        step.writes = (*step.writes, SHARED)
    step.reads = (*step.reads, *operands.reads)


def _nothing(operands: Operands) -> Run:
    """An instruction that is not carried out: what it writes is unknown from then on."""
    position = 0
    while operands.is_predicate(position):
        operands.target(position)
        position += 1
    sets = operands.instruction.name.endswith("SETP")
    if position < len(operands) and not sets:
        kind = operands[position].kind
        if kind in (OperandKind.REGISTER, OperandKind.UNIFORM):
            operands.target(position, written_words(operands.instruction))
    nothing = (None,) * len(operands.writes)
    return lambda: nothing


def _jump(operands: Operands) -> Run:
    """Jumps read the predicates and registers that they name, and write nothing."""
    for i in range(len(operands)):
        if is_predicate(operands[i]):
            operands.test(i)
        elif operands[i].kind is OperandKind.REGISTER:
            operands.word(i)
    return lambda: ()


_BY_NAME: dict[str, Callable[[Operands], Run]] = {
    **dict.fromkeys(("IADD3", "IADD", "VIADD"), integers.add),
    "IMAD": integers.multiply,
    "LEA": integers.shift_and_add,
    "SHF": integers.shift,
    "LOP3": integers.logic,
    "PLOP3": integers.predicate_logic,
    "ISETP": integers.compare,
    **dict.fromkeys(("MOV", "LDC", "LDCU", "R2UR"), integers.move),
    "SEL": integers.select,
    **dict.fromkeys(("IMNMX", "VIMNMX", "VIMNMX3"), integers.extreme),
    "VIADDMNMX": integers.add_and_extreme,
    "IABS": integers.absolute,
    "SGXT": integers.extend,
    "PRMT": integers.permute,
    "BMSK": integers.mask_bits,
    "FLO": integers.first_one,
    "POPC": integers.count_ones,
    **dict.fromkeys(("S2R", "S2UR", "CS2R"), _special),
    **dict.fromkeys(("I2F", "I2FP"), floats.to_float),
    "F2I": floats.to_integer,
    "MUFU": floats.reciprocal,
    **dict.fromkeys(("FADD", "FMUL", "FFMA"), floats.arithmetic),
    "FSETP": floats.compare,
    "FSEL": floats.select,
    "HFMA2": _half_constants,
    "P2R": _pack,
    "R2P": _unpack,
    "SHFL": sass_lanes.shuffle,
    "VOTE": sass_lanes.vote,
    "ELECT": sass_lanes.elect,
    **dict.fromkeys(("REDUX", "CREDUX"), sass_lanes.reduce),
    "SYNCS": _wait,
    "FCHK": _slow_path,
    "STL": _keep,
    "LDL": _fetch,
    **dict.fromkeys(("BRA", "JMP", "BRX", "JMX", "CALL", "RET", "EXIT", "KILL", "BPT"), _jump),
}
_BYTES = {"256": 32, "128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
_UNIFORM = {"ULDC": "LDC", "LDCU": "LDCU", "UMOV": "MOV", "VOTEU": "VOTE"}


def decode(
    instruction: MachineInstruction, registers: Registers, around: Surroundings
) -> DecodedStep:
    """An instruction as a step that reads and writes `registers`."""
    operands = Operands(instruction, registers, around)
    name = _UNIFORM.get(instruction.name, instruction.name)
    plain = name[1:] if name.startswith("U") and name[1:] in _BY_NAME else name
    make = _BY_NAME.get(plain, _nothing)
    try:
        run = make(operands)
    except (IndexError, ValueError):  # a form that is not known
        operands = Operands(instruction, registers, around)
        run = _nothing(operands)
    reads = tuple(operands.reads)
    operands.reads.clear()
    guard = None if instruction.guard is None else operands.test_of(instruction.guard)
    step = DecodedStep(
        instruction, run, tuple(operands.writes), reads, guard, tuple(operands.reads)
    )
    if instruction.name in INTO_SHARED or instruction.name == "LDS":
        operands.reads.clear()
        _use_shared(step, operands)
    if instruction.name in GLOBAL:
        _add_access(step, registers, around)
    return step


def _add_access(step: DecodedStep, registers: Registers, around: Surroundings) -> None:
    """Note where an access to global memory goes, and under which predicate."""
    instruction = step.instruction
    places = [o for o in instruction.operands if o.kind is OperandKind.MEMORY]
    operands = Operands(instruction, registers, around)
    if places:
        step.address = operands.memory_address(places[-1])
    else:
        step.address = lambda: None
    last = instruction.operands[-1]
    step.reads = (*step.reads, *operands.reads)
    if is_predicate(last) and last not in instruction.operands[:1]:
        operands.reads.clear()
        given, guard = operands.test_of(last), step.guard
        step.guard = given if guard is None else lambda: both(guard(), given())
        step.guard_reads = (*step.guard_reads, *operands.reads)


def access_bytes(instruction: MachineInstruction) -> int:
    """Bytes that a lane's access to memory moves."""
    return next((_BYTES[m] for m in instruction.modifiers if m in _BYTES), 4)
