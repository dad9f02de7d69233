"""Machine code carried out, as far as its course and its addresses go: no data, no memory.

Threads of several blocks run side by side, a value of each in an array. Of those that went
different ways the one that stands first in the code runs first, so that they meet again early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from warpwright.costmodel.sass.sass_decode import DecodedStep, Registers, Surroundings
from warpwright.costmodel.sass.sass_flow import (
    ENDS,
    blocks_of,
    decides_course,
    needed_steps,
    reaches_memory,
    successors,
    target_label,
)
from warpwright.costmodel.sass.sass_operations import GLOBAL, access_bytes, decode
from warpwright.costmodel.sass.sass_partly import (
    Partly,
    known_in,
    merged,
    parts,
    run_partly,
    run_without,
    settled_in,
)
from warpwright.costmodel.sass.sass_shared import SharedMemory
from warpwright.costmodel.sass.sass_turns import Mask, SectorsMoved, Turns
from warpwright.costmodel.sass.sass_values import WARP, Truth, Value, both
from warpwright.types.machine_code import MachineFunction

MAX_STEPS = 600_000
SECTOR_SHIFT = np.uint64(5)
NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)
DATA_LOOP = "how often a loop runs that depends on data"
DATA_BRANCH = "which way a branch goes that depends on data"
DATA_ADDRESS = "an address that depends on data"
DATA_MASK = "a mask that depends on data"
TOO_LONG = "loops too long to be followed"
NO_TIME = "what there was no time to follow"
ODD_JUMP = "where a computed jump goes"
SEES_LANES = frozenset(("SHFL", "REDUX", "CREDUX", "STL", "LDL"))  # pass on what is known in part
OF_ALL_LANES = frozenset(("VOTE", "VOTEU", "ELECT"))


Stop = Callable[[], bool]
"""Whether no time is left."""


def never() -> bool:
    return False


class UnknownCourseError(Exception):
    """The code's course cannot be followed; the message says why."""


@dataclass(slots=True)
class Followed:
    """What running the code showed.

    `visits`: by block of code, warps that ran it, weighted; `runs`: how often it was run for some.
    `moved`: what accesses to global memory come to; `lengths`: turns of innermost loops.
    """

    visits: list[float]
    runs: list[int] = field(default_factory=list)
    moved: SectorsMoved = field(default_factory=SectorsMoved)
    lengths: Mapping[int, Sequence[int]] = field(default_factory=dict)
    lacks: set[str] = field(default_factory=set)
    steps: int = 0


class Machine:
    """One kernel's code for lanes that run together. `weights`: of each warp of the sample."""

    def __init__(
        self, function: MachineFunction, around: Surroundings, weights: npt.NDArray[np.float64]
    ) -> None:
        self.function = function
        self.blocks = blocks_of(function)
        self.registers: Registers = {}
        self._partly: set[str] = set()  # registers that are known in part
        self.steps = [decode(i, self.registers, around) for i in function.instructions]
        self._places = {
            function.instructions[block.first].address: i for i, block in enumerate(self.blocks)
        }
        self._weights = weights
        self._all = float(weights.sum())
        self._lanes, self._threads = around.lanes, around.threads
        self._shared: SharedMemory | None = None  # where what is loaded from it matters
        self._headers = frozenset(
            target
            for number, block in enumerate(self.blocks)
            if function.instructions[block.last].name == "BRA"
            for target in successors(function, self.blocks, number, self._places)
            if target <= number
        )

    def needed(self, memory: bool) -> tuple[tuple[int, ...], ...]:
        """The steps of each block that decide the course, and with `memory` the addresses."""
        wanted = reaches_memory if memory else decides_course
        return needed_steps(self.function, self.blocks, self.steps, wanted)[0]

    def follow(
        self,
        needed: Sequence[tuple[int, ...]],
        memory: bool,
        limit: int = MAX_STEPS,
        lengths: Mapping[int, Sequence[int]] | None = None,
        stop: Stop = never,
    ) -> Followed:
        """Run the needed steps from the entry to the exits of all lanes.

        With `lengths`, of an earlier run, turns of long loops are left out where they can be.
        Raises UnknownCourseError where a loop depends on data or is too long, and at `stop`.
        """
        self.registers.clear()
        self._partly.clear()
        loads = any(self.steps[i].instruction.name == "LDS" for block in needed for i in block)
        self._shared = SharedMemory(self._lanes, self._threads) if loads else None
        turns = Turns(self._headers, self.registers, lengths, self._live(lengths))
        again: set[int] = set()
        done = Followed([0.0] * len(self.blocks), [0] * len(self.blocks))
        waiting: dict[int, Mask] = {0: None}
        while waiting:
            number = min(waiting)
            mask = waiting.pop(number)
            done.steps += 1 + len(needed[number])
            if done.steps > limit:
                raise UnknownCourseError(TOO_LONG)
            if stop():
                raise UnknownCourseError(NO_TIME)
            turns.arrive(number, mask, number in again, done.moved)
            again.discard(number)
            done.visits[number] += self._weight(mask)
            done.runs[number] += 1
            for target, lanes in self._block(number, needed[number], mask, memory, done):
                _join(waiting, target, lanes)
                if target <= number:
                    again.add(target)
        done.lengths = turns.lengths
        return done

    def _live(self, lengths: object) -> dict[int, tuple[str, ...]]:
        """Registers that each loop's first block, or what follows it, reads before writing."""
        if lengths is None:
            return {}
        live = needed_steps(self.function, self.blocks, self.steps, reaches_memory)[1]
        return {header: tuple(sorted(live[header])) for header in self._headers}

    def _weight(self, mask: Mask) -> float:
        if mask is None:
            return self._all
        return float(self._weights[mask.reshape(-1, WARP).any(1)].sum())

    def _block(
        self, number: int, needed: Sequence[int], mask: Mask, memory: bool, done: Followed
    ) -> list[tuple[int, Mask]]:
        last = self.blocks[number].last
        steps = self.steps
        for index in needed:
            step = steps[index]
            if index == last and decides_course(step):
                return self._jump(number, step, mask, done)
            if memory and step.instruction.name in GLOBAL:
                self._access(step, mask, done)
            self._carry_out(step, mask)
        return [(number + 1, mask)] if number + 1 < len(self.blocks) else []

    def _carry_out(self, step: DecodedStep, mask: Mask) -> None:
        guard = self._guard(step)
        if guard is False or not step.writes:
            return
        lanes = _taking_part(guard, mask)
        for name, value in zip(step.writes, self._values(step, lanes), strict=False):
            if name:
                self._write(name, value, guard, lanes)

    def _values(self, step: DecodedStep, lanes: object) -> Iterable[object]:
        assert step.run is not None
        if step.shared is not None and self._shared is not None:
            return step.shared(self._shared, _all_or(lanes, self._lanes))
        partly = self._partly.intersection(step.reads) if self._partly else ()
        if not partly or step.instruction.name in SEES_LANES:
            return step.run()
        carried = run_without if step.instruction.name in OF_ALL_LANES else run_partly
        return carried(step.run, self.registers, partly)

    def _write(self, name: str, value: object, guard: object, lanes: object) -> None:
        if lanes is not True:
            # a register that nothing wrote reads as zero where no predicate guards what writes it
            unwritten = value if guard is True else None
            value = merged(lanes, value, self.registers.get(name, unwritten))
        self.registers[name] = value
        if isinstance(value, Partly):
            self._partly.add(name)
        elif self._partly:
            self._partly.discard(name)

    def _guard(self, step: DecodedStep) -> object:
        """Lanes in which a step is carried out: a truth, or one that is known in part."""
        if step.guard is None:
            return True
        partly = self._partly.intersection(step.guard_reads) if self._partly else ()
        if not partly:
            return step.guard()
        guard = step.guard
        return run_partly(lambda: (guard(),), self.registers, partly)[0]

    # control

    def _jump(
        self, number: int, step: DecodedStep, mask: Mask, done: Followed
    ) -> list[tuple[int, Mask]]:
        instruction = step.instruction
        taken = settled_in(self._guard(step), mask)
        if instruction.name == "BRA" and "DIV" in instruction.modifiers:
            taken = False
        following = [number + 1] if number + 1 < len(self.blocks) else []
        target = None
        if instruction.name not in ENDS:
            target = self._target(instruction)
        if step.run is not None and instruction.name in ("BRA", "JMP"):
            taken = both(taken, _extra_condition(step, self.registers))
        if taken is None:
            taken = self._guessed(number, target, instruction.name, done)
        goes, stays = _parted(taken, mask)
        found: list[tuple[int, Mask]] = []
        if target is not None and goes is not _NONE:
            found.append((target, goes))
        if stays is not _NONE:
            found += [(place, stays) for place in following]
        return found

    def _target(self, instruction: object) -> int:
        label = target_label(instruction)  # type: ignore[arg-type]
        name = getattr(instruction, "name", "")
        if label is None or name in ("BRX", "JMX"):
            raise UnknownCourseError(ODD_JUMP)
        address = self.function.labels.get(label)
        if name == "RET":
            operand = instruction.operands[0]  # type: ignore[attr-defined]
            back = self.registers.get(f"R{operand.index}")
            if not isinstance(back, int) or address is None:
                raise UnknownCourseError(ODD_JUMP)
            address += back
        if address is None or address not in self._places:
            raise UnknownCourseError(ODD_JUMP)
        return self._places[address]

    def _guessed(self, number: int, target: int | None, name: str, done: Followed) -> bool:
        """Which way a branch goes whose condition is unknown: around a slow path, else on.

        Slow paths, for denormal numbers or a trap, call a function. What stays unknown is noted.
        """
        if target is not None and target <= number:
            raise UnknownCourseError(DATA_LOOP)
        if target is None:
            done.lacks.add(DATA_BRANCH)
            return False
        skipped = range(number + 1, target)
        ends = [self.function.instructions[self.blocks[i].last].name for i in skipped]
        if any(end in ("CALL", "BPT") for end in ends):
            return True
        beyond = self.function.instructions[self.blocks[target].last].name
        if name == "CALL" or beyond in ("CALL", "BPT"):
            return False
        done.lacks.add(DATA_BRANCH)
        return False

    # memory

    def _access(self, step: DecodedStep, mask: Mask, done: Followed) -> None:
        guard = settled_in(self._guard(step), mask)
        if guard is False or step.address is None:
            return
        lanes = both(guard, True if mask is None else mask)
        address = self._address(step, lanes)
        if address is None or guard is None:
            done.lacks.add(DATA_ADDRESS if address is None else DATA_MASK)
            return
        size = access_bytes(step.instruction)
        sectors = np.asarray(address, np.uint64) >> SECTOR_SHIFT
        active = np.broadcast_to(np.asarray(lanes, bool), (self._lanes,)).reshape(-1, WARP)
        table = np.broadcast_to(sectors, (self._lanes,)).reshape(-1, WARP)
        table = np.sort(np.where(active, table, NOWHERE), axis=1)
        distinct = (table[:, 1:] != table[:, :-1]).sum(1) + 1 - (table[:, -1] == NOWHERE)
        done.moved.sectors += float((distinct * self._weights).sum()) * max(1, size // 32)
        done.moved.bytes += float((active.sum(1) * self._weights).sum()) * size

    def _address(self, step: DecodedStep, lanes: Truth) -> Value:
        """Where the lanes that take part reach; None where that is not known of one of them."""
        assert step.address is not None
        partly = self._partly.intersection(step.reads) if self._partly else ()
        if not partly:
            return step.address()
        address = step.address
        words, known = parts(run_partly(lambda: (address(),), self.registers, partly)[0])
        return words if np.all(known | ~_all_or(lanes, self._lanes)) else None


def _taking_part(guard: object, mask: Mask) -> object:
    """Lanes in which a step is carried out, of those that run."""
    if mask is None or guard is None or guard is False:
        return guard
    if isinstance(guard, Partly):
        return known_in(guard.words & mask, guard.known | ~mask)
    return both(guard, mask)  # type: ignore[arg-type]


def _all_or(lanes: object, count: int) -> npt.NDArray[np.bool_]:
    """Lanes as an array; where it is unknown whether they take part, all."""
    if isinstance(lanes, Partly):
        return lanes.words | ~lanes.known
    if isinstance(lanes, np.ndarray):
        return lanes
    return np.full(count, lanes is not False)


_NONE = np.zeros(0, bool)  # stands for "no lane"


def _parted(taken: Truth, mask: Mask) -> tuple[Mask, Mask]:
    """Lanes that go and lanes that stay."""
    if isinstance(taken, bool) or taken is None:
        return (mask, _NONE) if taken else (_NONE, mask)
    goes = taken if mask is None else taken & mask
    stays = ~taken if mask is None else ~taken & mask
    any_goes, any_stays = bool(goes.any()), bool(stays.any())
    if any_goes and any_stays:
        return goes, stays
    return (mask, _NONE) if any_goes else (_NONE, mask)


def _join(waiting: dict[int, Mask], place: int, lanes: Mask) -> None:
    """Let lanes wait at a place, with those that wait there already."""
    if place not in waiting:
        waiting[place] = lanes
        return
    others = waiting[place]
    joined = None if lanes is None or others is None else lanes | others
    waiting[place] = None if joined is None or bool(joined.all()) else joined


def _extra_condition(step: DecodedStep, registers: Mapping[str, object]) -> Truth:
    """`BRA P0, target` and `BRA.U UP0, target` have a condition beside the guard."""
    first = step.instruction.operands[0]
    if first.kind.value not in ("P", "UP"):
        return True
    truth = registers.get(f"{first.kind}{first.index}", False)
    if isinstance(truth, np.ndarray):
        return ~truth if first.inverted else truth
    return (truth != first.inverted) if isinstance(truth, bool) else None
