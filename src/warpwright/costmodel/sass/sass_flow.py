"""Basic blocks of machine code, and which instructions its course and its addresses depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from warpwright.costmodel.sass.sass_decode import DecodedStep
from warpwright.costmodel.sass.sass_operations import GLOBAL
from warpwright.types.machine_code import MachineFunction, MachineInstruction, OperandKind

BRANCHES = frozenset(("BRA", "JMP", "BRX", "JMX", "CALL", "RET"))
ENDS = frozenset(("EXIT", "KILL", "BPT"))
CONTROL = BRANCHES | ENDS


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions `first` to `last` (included) that run one after another, always together."""

    first: int
    last: int


def blocks_of(function: MachineFunction) -> tuple[Block, ...]:
    """Cut a function's code where it jumps and where it is jumped to."""
    instructions = function.instructions
    places = {instruction.address: i for i, instruction in enumerate(instructions)}
    starts = {0}
    for label, address in function.labels.items():
        if not label.startswith(".text."):
            starts.add(places.get(address, 0))
    for i, instruction in enumerate(instructions):
        if instruction.name in CONTROL and i + 1 < len(instructions):
            starts.add(i + 1)
    ordered = sorted(starts)
    return tuple(
        Block(first, following - 1)
        for first, following in zip(ordered, [*ordered[1:], len(instructions)], strict=True)
    )


def target_label(instruction: MachineInstruction) -> str | None:
    """Where a branch goes, by label; None where that is computed."""
    for operand in instruction.operands:
        if operand.kind is OperandKind.TARGET:
            return operand.text
    return None


def successors(
    function: MachineFunction, blocks: Sequence[Block], number: int, at: dict[int, int]
) -> list[int]:
    """Blocks that may run after one. Returns of a function go behind every call."""
    instruction = function.instructions[blocks[number].last]
    following = [number + 1] if number + 1 < len(blocks) else []
    if instruction.name in ENDS:
        return following if instruction.guard is not None else []
    if instruction.name not in BRANCHES:
        return following
    label = target_label(instruction)
    found = [at[function.labels[label]]] if label in function.labels else []
    if instruction.name == "RET" or not found:
        found = [
            i + 1
            for i, block in enumerate(blocks[:-1])
            if function.instructions[block.last].name in ("CALL", "BRX", "JMX")
        ]
    conditional = instruction.guard is not None or len(instruction.operands) > 1
    return [*found, *(following if conditional or instruction.name == "CALL" else [])]


def decides_course(step: DecodedStep) -> bool:
    return step.instruction.name in CONTROL


def reaches_memory(step: DecodedStep) -> bool:
    return step.instruction.name in CONTROL or step.instruction.name in GLOBAL


def needed_steps(
    function: MachineFunction,
    blocks: Sequence[Block],
    steps: Sequence[DecodedStep],
    wanted: Callable[[DecodedStep], bool],
) -> tuple[tuple[tuple[int, ...], ...], tuple[frozenset[str], ...]]:
    """For each block the steps that those wanted depend on, and those themselves; and the
    registers that these may read before they write them.

    Backwards through the code until nothing changes: a step is needed where a register that it
    writes may still be read by a needed one.
    """
    at = {function.instructions[block.first].address: i for i, block in enumerate(blocks)}
    follows = [successors(function, blocks, i, at) for i in range(len(blocks))]
    before: list[list[int]] = [[] for _ in blocks]
    for i, after in enumerate(follows):
        for j in after:
            before[j].append(i)
    entering: list[frozenset[str]] = [frozenset() for _ in blocks]
    waiting = list(range(len(blocks)))
    while waiting:
        number = waiting.pop()
        leaving = frozenset().union(*(entering[j] for j in follows[number]))
        live, _ = _backwards(blocks[number], steps, leaving, wanted)
        if live != entering[number]:
            entering[number] = live
            waiting += before[number]
    needed = tuple(
        _backwards(
            block, steps, frozenset().union(*(entering[j] for j in follows[number])), wanted
        )[1]
        for number, block in enumerate(blocks)
    )
    return needed, tuple(entering)


def _backwards(
    block: Block,
    steps: Sequence[DecodedStep],
    leaving: frozenset[str],
    wanted: Callable[[DecodedStep], bool],
) -> tuple[frozenset[str], tuple[int, ...]]:
    live = set(leaving)
    needed = []
    for index in range(block.last, block.first - 1, -1):
        step = steps[index]
        root = wanted(step)
        if not root and live.isdisjoint(step.writes):
            continue
        needed.append(index)
        if step.guard is None:
            live.difference_update(step.writes)
        live.update(step.reads)
        live.update(step.guard_reads)
    return frozenset(live), tuple(reversed(needed))
