"""The instructions that are carried out on known words, by name; of the others nothing is known."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from warpwright.compiler.sass_text import half_pair
from warpwright.costmodel.sass import sass_integers as integers
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
from warpwright.costmodel.sass.sass_integers import Run, known
from warpwright.costmodel.sass.sass_shared import SharedMemory
from warpwright.costmodel.sass.sass_values import (
    MASK32,
    Truth,
    Value,
    Word,
    as_floats,
    both,
    chosen,
    float_bits,
    high,
    low,
    settled,
)
from warpwright.types.machine_code import MachineInstruction, OperandKind

WARP = 32
GLOBAL = frozenset(("LDG", "STG", "LD", "ST", "ATOMG", "ATOM", "RED", "REDG", "LDGSTS"))

INTO_SHARED = frozenset(("STS", "STSM", "LDGSTS", "ATOMS"))


def _special(operands: Operands) -> Run:
    """S2R, S2UR, CS2R: a special register; zero where its name is SRZ."""
    words = 2 if operands.instruction.name == "CS2R" and "32" not in operands.modifiers else 1
    operands.target(0, words)
    name = operands[1].text
    value: Value = 0 if name == "SRZ" else operands.around.special.get(name)
    return lambda: (value, *([0 if name == "SRZ" else None] * (words - 1)))


def _to_float(operands: Operands) -> Run:
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


def _reciprocal(operands: Operands) -> Run:
    """MUFU.RCP; of its other functions nothing is known."""
    operands.target(0)
    if operands.modifiers[:1] != ("RCP",):
        return lambda: (None,)

    def compute(a: Word) -> tuple[object, ...]:
        with np.errstate(all="ignore"):
            return (settled(float_bits((np.float32(1) / as_floats(a)).astype(np.float32)), a),)

    return known(compute, [operands.word(1)], 1)


def _to_integer(operands: Operands) -> Run:
    """F2I with truncation to unsigned integers: what a division goes on with."""
    modifiers = operands.modifiers
    wide = "U64" in modifiers
    operands.target(0, 2 if wide else 1)
    if "TRUNC" not in modifiers or not (wide or "U32" in modifiers):
        return lambda: (None,) * len(operands.writes)

    def compute(a: Word) -> tuple[object, ...]:
        numbers = np.nan_to_num(as_floats(a).astype(np.float64), nan=0.0, posinf=2.0**63)
        largest = 2.0**63 if wide else float(MASK32)
        whole = np.clip(np.trunc(numbers), 0.0, largest).astype(np.uint64)
        result = settled(whole, a)
        return (low(result), high(result)) if wide else (result,)

    return known(compute, [operands.word(1)], len(operands.writes))


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


def _shuffle(operands: Operands) -> Run:
    """SHFL.BFLY and SHFL.IDX over a whole warp: words of other lanes."""
    operands.target(0)
    operands.target(1)
    kind = operands.modifiers[:1]
    source, index = operands.word(2), operands.word(3)
    whole = len(operands) > 4 and operands[4].value == 0x1F and kind in (("BFLY",), ("IDX",))

    def run() -> tuple[object, ...]:
        word, by = source(), index()
        if isinstance(word, int):
            return None, word
        if word is None or by is None or not whole:
            return None, None
        lane = np.arange(operands.around.lanes) % WARP
        other = lane ^ (np.asarray(by, np.int64) & 31) if kind == ("BFLY",) else (
            np.broadcast_to(np.asarray(by, np.int64) & 31, lane.shape))  # fmt: skip
        return None, word[np.arange(operands.around.lanes) - lane + other]

    return run


def _vote(operands: Operands) -> Run:
    """VOTE over whole warps; of a ballot only that of a predicate which all lanes share."""
    position = 0
    while position < len(operands) - 1:
        operands.target(position)
        position += 1
    predicates = [i for i in range(position) if is_predicate(operands[i])]
    test = operands.test(position)
    every = "ALL" in operands.modifiers

    def run() -> tuple[object, ...]:
        truth = test()
        made: list[object] = []
        for i in range(position):
            if i in predicates:
                made.append(_voted(truth, every))
            else:
                made.append(truth * MASK32 if isinstance(truth, bool) else None)
        return tuple(made)

    return run


def _voted(truth: Truth, every: bool) -> Truth:
    if truth is None or isinstance(truth, bool):
        return truth
    warps = truth.reshape(-1, WARP)
    return np.repeat(warps.all(1) if every else warps.any(1), WARP)


def _elect(operands: Operands) -> Run:
    """ELECT: one lane of each warp."""
    lane = np.arange(operands.around.lanes) % WARP
    operands.target(0)
    if len(operands) > 1:
        operands.target(1)
    return lambda: (lane == 0, None)[: len(operands.writes)]


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


def _local_address(operands: Operands, memory: object) -> Callable[[], Value]:
    parts = getattr(memory, "parts", ())
    offset = getattr(memory, "value", 0)
    readers = [(operands._plain(part, 0), int(part.text[2:] or 1)) for part in parts
               if part.text.startswith(".X")]  # fmt: skip
    readers += [(operands._plain(p, 0), 1) for p in parts if not p.text.startswith(".X")]

    def read() -> Value:
        total: Word = offset & MASK32
        for reader, times in readers:
            value = reader()
            if value is None:
                return None
            total = total + value * times
        return total & MASK32

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
    **dict.fromkeys(("IMNMX", "VIMNMX"), integers.extreme),
    "VIADDMNMX": integers.add_and_extreme,
    "IABS": integers.absolute,
    "SGXT": integers.extend,
    "PRMT": integers.permute,
    "BMSK": integers.mask_bits,
    "FLO": integers.first_one,
    "POPC": integers.count_ones,
    **dict.fromkeys(("S2R", "S2UR", "CS2R"), _special),
    "I2F": _to_float,
    "I2FP": _to_float,
    "MUFU": _reciprocal,
    "F2I": _to_integer,
    "HFMA2": _half_constants,
    "P2R": _pack,
    "R2P": _unpack,
    "SHFL": _shuffle,
    "VOTE": _vote,
    "ELECT": _elect,
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
