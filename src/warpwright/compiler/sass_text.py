"""The text of `nvdisasm -c` becomes instructions. What is not understood becomes "other"."""

from __future__ import annotations

import re
import struct

from warpwright.types.machine_code import (
    MachineFunction,
    MachineInstruction,
    MachineOperand,
    OperandKind,
)

_SECTION = re.compile(r"^\.text\.(?P<name>\S+):\s*$")
_LABEL = re.compile(r"^(?P<label>[.$\w][\w.$]*):\s*$")
_LINE = re.compile(
    r"^\s+/\*(?P<address>[0-9a-f]{4,})\*/\s+(?:\{\s*)?(?:@(?P<guard>!?U?P(?:\d+|T))\s+)?"
    r"(?P<name>[A-Z][\w.]*)\s*(?P<rest>[^;]*?)\s*;"
)
_ADDRESS = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/")
_REGISTER = re.compile(
    r"(?P<sign>[-~!|]*)(?P<kind>UR|R|UP|P)(?P<index>\d+|Z|T)(?P<rest>[.\w]*)\|?(?P<tail>[.\w]*)"
)
_NUMBER = re.compile(r"(?P<sign>-?)(?:0x(?P<hex>[0-9a-f]+)|(?P<whole>\d+))")
_CONSTANT = re.compile(r"(?P<sign>[-~|]*)c\[0x(?P<bank>[0-9a-f]+)\]\[(?P<inner>[^\]]*)\]\|?[.\w]*")
_MEMORY = re.compile(r"(?:desc\[[^\]]*\])?\[(?P<inner>[^\]]*)\][.\w]*")
_TARGET = re.compile(r"`\((?P<label>[^)]*)\)")
_KINDS = {kind.value: kind for kind in OperandKind}
_HALF_FLOAT = re.compile(r"-?\d*\.?\d+(?:e[-+]?\d+)?")


def read_machine_code(text: str) -> MachineFunction | None:
    """The first function of a disassembly (a cubin of Triton's has one).

    None where there is none, or where an instruction in it cannot be read.
    """
    name: str | None = None
    labels: dict[str, int] = {}
    waiting: list[str] = []
    instructions: list[MachineInstruction] = []
    for line in text.splitlines():
        section = _SECTION.match(line)
        if section is not None:
            if instructions:
                break
            name = section["name"]
            waiting.append(f".text.{name}")
            continue
        label = _LABEL.match(line)
        if label is not None:
            waiting.append(label["label"])
            continue
        instruction = read_instruction(line)
        if instruction is None and name is not None and _ADDRESS.match(line):
            return None  # a count that leaves an instruction out is none
        if instruction is None or name is None:
            continue
        labels.update(dict.fromkeys(waiting, instruction.address))
        waiting.clear()
        instructions.append(instruction)
    if name is None or not instructions:
        return None
    labels.setdefault(name, instructions[0].address)
    return MachineFunction(name, tuple(instructions), labels)


def read_instruction(line: str) -> MachineInstruction | None:
    """One instruction from its line, or None where the line holds none."""
    match = _LINE.match(line)
    if match is None:
        return None
    name, *modifiers = match["name"].split(".")
    operands = tuple(read_operand(part) for part in _split(match["rest"]))
    guard = None if match["guard"] is None else read_operand(match["guard"])
    return MachineInstruction(int(match["address"], 16), name, tuple(modifiers), operands, guard)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_operand(text: str) -> MachineOperand:
    """One operand from its text, such as `-R4.reuse`, `c[0x0][0x160]` or `[R2.64+0x10]`."""
    if match := _REGISTER.fullmatch(text):
        return _register(match, text)
    if match := _NUMBER.fullmatch(text):
        value = int(match["hex"], 16) if match["hex"] else int(match["whole"])
        return MachineOperand(
            OperandKind.NUMBER, value=-value if match["sign"] else value, text=text
        )
    if match := _CONSTANT.fullmatch(text):
        return _constant(match, text)
    if match := _MEMORY.fullmatch(text):
        return _memory(match["inner"], text)
    if match := _TARGET.search(text):
        return MachineOperand(OperandKind.TARGET, text=match["label"])
    return MachineOperand(OperandKind.OTHER, text=text)


def _register(match: re.Match[str], text: str) -> MachineOperand:
    sign = match["sign"]
    negated, inverted, absolute = "-" in sign, "~" in sign or "!" in sign, "|" in sign
    if not match["index"].isdigit():  # RZ reads zero, PT true
        true = match["index"] == "T"
        return MachineOperand(
            OperandKind.NUMBER, 0, int(true), 0, negated, inverted, absolute, text=text
        )
    kind = _KINDS[match["kind"]]
    if match["rest"] not in ("", ".reuse", ".64", ".64.reuse"):
        kind = OperandKind.OTHER if kind is OperandKind.REGISTER else kind  # a half of it
    return MachineOperand(kind, int(match["index"]), 0, 0, negated, inverted, absolute, text=text)


def _constant(match: re.Match[str], text: str) -> MachineOperand:
    offset = _NUMBER.fullmatch(match["inner"].strip())
    if offset is None or offset["hex"] is None:
        return MachineOperand(OperandKind.OTHER, text=text)
    sign = match["sign"]
    return MachineOperand(
        OperandKind.CONSTANT,
        value=int(offset["hex"], 16),
        bank=int(match["bank"], 16),
        negated="-" in sign,
        inverted="~" in sign,
        absolute="|" in sign,
        text=text,
    )


def _memory(inner: str, text: str) -> MachineOperand:
    parts: list[MachineOperand] = []
    offset = 0
    for part in inner.split("+"):
        part = part.strip()
        number = _NUMBER.fullmatch(part)
        if number is not None:
            value = int(number["hex"], 16) if number["hex"] else int(number["whole"])
            offset += -value if number["sign"] else value
            continue
        register = re.fullmatch(r"(UR|R)(\d+|Z)((?:\.\w+)*)", part)
        if register is None:
            return MachineOperand(OperandKind.OTHER, text=text)
        if register[2] == "Z":
            continue
        scaled = register[3] not in ("", ".64", ".U32", ".X4", ".X8", ".X16")
        kind = OperandKind.OTHER if scaled else _KINDS[register[1]]
        parts.append(MachineOperand(kind, index=int(register[2]), text=register[3]))
    return MachineOperand(OperandKind.MEMORY, value=offset, parts=tuple(parts), text=text)


def half_pair(high: str, low: str) -> int | None:
    """The 32 bits of two half-precision numbers as the disassembler writes them."""
    if not (_HALF_FLOAT.fullmatch(high) and _HALF_FLOAT.fullmatch(low)):
        return None
    try:
        halves = struct.unpack("<HH", struct.pack("<ee", float(low), float(high)))
    except (OverflowError, struct.error):
        return None
    return int(halves[0] | halves[1] << 16)
