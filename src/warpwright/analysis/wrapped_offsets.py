"""Offsets that a kernel computes in 32 bits although the tensor needs more.

A tensor of 2³¹ elements and more has elements whose offset no 32-bit integer holds: computed in
32 bits, it wraps and points elsewhere. Small inputs never show that. So the kernel's intermediate
representation is carried out for blocks at the ends of the grid, integers alone, with the launch's
real sizes. What is told is certain: a lane that takes part reads or writes by such an offset.
Loops are carried out for their first turns, and for the last where what they carry grows evenly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from warpwright.costmodel.ir_lanes import (
    INDEX_BITS,
    Integers,
    IrLanes,
    integer_bits,
    lanes_of,
    scalar,
)
from warpwright.costmodel.ir_scalars import axis_of
from warpwright.types.kernel_ir import IrFunction, IrOperation, IrRegion

MAX_OPERATIONS = 20_000  # of a block that are carried out
MAX_JUMPS = 64
_ACCESSES = {  # which operand is the mask
    "tt.load": 1,
    "tt.store": 2,
    "tt.atomic_rmw": 2,
}
Values = dict[str, IrLanes | None]


@dataclass(frozen=True, slots=True)
class WrappedOffset:
    """An access by a wrapped offset: by which parameter, in which block, at which element.

    `element` is the one that was meant, counted from the tensor's start.
    """

    parameter: str
    block: tuple[int, ...]
    element: int

    def __str__(self) -> str:
        return (
            f"block {self.block} means element {self.element:,} of {self.parameter}, and works its "
            "offset out in 32 bits"
        )


class _FoundError(Exception):
    def __init__(self, parameter: str, element: int) -> None:
        super().__init__(parameter)
        self.parameter, self.element = parameter, element


class _EnoughError(Exception):
    """More operations than are carried out."""


def wrapped_offset(
    function: IrFunction,
    scalars: Mapping[str, int],
    pointers: Mapping[str, str],
    grid: Sequence[int],
) -> WrappedOffset | None:
    """The first access by a wrapped offset that blocks at the ends of a grid make, or None.

    `scalars` and `pointers`: the function's arguments by value name, integers as the launch gives
    them and pointers as parameters. None does not mean that there is no such access.
    """
    extents = (*grid, 1, 1)[:3]
    places = [sorted({0, 3 * (extent - 1) // 4, extent - 1}) for extent in extents]
    for block in itertools.product(*(reversed(place) for place in places)):
        walk = _Walk(extents, block)
        values: Values = {name: scalar(value, 64) for name, value in scalars.items()}
        values |= {name: scalar(0, 64, parameter) for name, parameter in pointers.items()}
        _narrow(function, values)
        try:
            walk.function(function, values)
        except _FoundError as found:
            return WrappedOffset(found.parameter, block[: len(grid)], found.element)
        except _EnoughError:
            continue
    return None


def _narrow(function: IrFunction, values: Values) -> None:
    """Integer arguments have the bits of their type."""
    for name, kind in function.arguments:
        value = values.get(name)
        if value is not None and value.pointer is None and kind[1:].isdigit():
            values[name] = scalar(int(value.ideal), int(kind[1:]))


@dataclass(slots=True)
class _Walk:
    """One block, carried out as far as its integers are known."""

    extents: Sequence[int]
    block: Sequence[int]
    left: int = field(default=MAX_OPERATIONS)

    def function(self, function: IrFunction, values: Values) -> None:
        operations: Sequence[IrOperation] | None = (
            function.blocks[0][1] if function.blocks else None
        )
        for _ in range(MAX_JUMPS):
            if operations is None:
                return
            self.operations(operations, values)
            target = self._jump(operations[-1], values) if operations else None
            operations = None if target is None else function.block(target)

    def _jump(self, last: IrOperation, values: Values) -> str | None:
        if last.name == "cf.br" and last.targets and not last.operands:
            return last.targets[0]
        if last.name != "cf.cond_br" or len(last.targets) != 2 or len(last.operands) != 1:
            return None
        condition = _whole(values.get(last.operands[0]))
        return None if condition is None else last.targets[0 if condition else 1]

    def operations(self, operations: Sequence[IrOperation], values: Values) -> None:
        for operation in operations:
            self.left -= 1
            if self.left < 0:
                raise _EnoughError
            self._one(operation, values)

    def _one(self, operation: IrOperation, values: Values) -> None:
        if operation.name in _ACCESSES:
            self._access(operation, values)
        if operation.name == "scf.for" and len(operation.regions) == 1:
            made = self._loop(operation, operation.regions[0], values)
        elif operation.name == "scf.if" and operation.regions:
            made = self._branch(operation, values)
        elif operation.name in ("tt.get_program_id", "tt.get_num_programs"):
            axis = axis_of(operation)
            of = self.block if operation.name == "tt.get_program_id" else self.extents
            made = [None if axis is None else scalar(of[axis], 32)]
        else:
            made = [lanes_of(operation, [values.get(name) for name in operation.operands])]
        for name, value in itertools.zip_longest(operation.results, made[: len(operation.results)]):
            values[name] = value

    def _access(self, operation: IrOperation, values: Values) -> None:
        """Raises _FoundError where a lane that takes part has a wrapped offset."""
        pointer = values.get(operation.operands[0]) if operation.operands else None
        if pointer is None or pointer.pointer is None or not pointer.wrong.any():
            return
        wrong = pointer.wrong
        if len(operation.operands) > _ACCESSES[operation.name]:
            mask = values.get(operation.operands[_ACCESSES[operation.name]])
            if mask is None or mask.ideal.shape not in ((), wrong.shape):
                return
            wrong = wrong & (mask.ideal != 0) & ~mask.wrong
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise _FoundError(pointer.pointer, int(pointer.ideal.reshape(-1)[first]))

    def _branch(self, operation: IrOperation, values: Values) -> list[IrLanes | None]:
        condition = _whole(values.get(operation.operands[0])) if operation.operands else None
        if condition is None or (not condition and len(operation.regions) < 2):
            return []
        return self._body(operation.regions[0 if condition else 1], values)

    def _body(self, region: IrRegion, values: Values) -> list[IrLanes | None]:
        """Carry out a region; what it yields. It sees the values around it and keeps its own."""
        inside = dict(values)
        self.operations(region.operations, inside)
        last = region.operations[-1] if region.operations else None
        if last is None or last.name != "scf.yield":
            return []
        return [inside.get(name) for name in last.operands]

    def _loop(self, loop: IrOperation, region: IrRegion, values: Values) -> list[IrLanes | None]:
        """The first two turns and the last; what the loop carries in the end, where it is known.

        A loop of unknown length may make no turn at all, so nothing of it is certain.
        """
        bounds = [_whole(values.get(name)) for name in loop.operands[1:4]]
        start, stop, step = (*bounds, None, None, None)[:3]
        counter, *carried = region.arguments or ("",)
        initial = [values.get(name) for name in loop.operands[5::2]]
        if start is None or stop is None or step is None or step <= 0:
            return []
        bits = integer_bits(loop.types[-1]) if loop.types else None
        count = partial(scalar, bits=bits or INDEX_BITS)
        turns = max(0, -(-(stop - start) // step))
        states = [initial]
        for turn in range(min(turns, 2)):
            given = dict(zip(carried, states[-1], strict=False))
            states.append(
                self._turn(region, values, {counter: count(start + turn * step), **given})
            )
        if turns <= 2:
            return states[-1]
        steady = [_steady(*three) for three in zip(*states, strict=False)]
        last = [_after(first, by, turns - 1) for first, by in zip(initial, steady, strict=False)]
        given = dict(zip(carried, last, strict=False))
        return self._turn(region, values, {counter: count(start + (turns - 1) * step), **given})

    def _turn(self, region: IrRegion, values: Values, given: Values) -> list[IrLanes | None]:
        return self._body(region, {**values, **dict.fromkeys(region.arguments), **given})


def _whole(lanes: IrLanes | None) -> int | None:
    """A scalar's value, where the hardware has the same."""
    if lanes is None or lanes.ideal.shape != () or bool(lanes.wrong) or lanes.pointer is not None:
        return None
    return int(lanes.ideal)


def _steady(
    first: IrLanes | None, second: IrLanes | None, third: IrLanes | None
) -> Integers | None:
    """By how much a carried value grows each turn, where the first two agree."""
    if first is None or second is None or third is None:
        return None
    if not first.ideal.shape == second.ideal.shape == third.ideal.shape:
        return None
    by = second.ideal - first.ideal
    return by if (third.ideal - second.ideal == by).all() else None


def _after(first: IrLanes | None, by: Integers | None, turns: int) -> IrLanes | None:
    """A carried value after so many turns. Each step is small, and pointers have 64 bits."""
    if first is None or by is None or (np.abs(by).astype(float) * turns > 2.0**61).any():
        return None
    return IrLanes(first.ideal + turns * by, first.wrong, first.bits, first.pointer)
