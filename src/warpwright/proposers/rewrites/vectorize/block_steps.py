"""What a step does, said for a block of elements: names for values that go from step to step.

y = tl.load(y_ptr + i)                       y = tl.load(y_ptr + i)
tl.store(o_ptr + i, acc)             →       combine acc with y, as acc_before and acc_after
acc += y                                     tl.store(o_ptr + i, acc_before)
tl.store(q_ptr + i, acc)                     tl.store(q_ptr + i, acc_after)
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import loaded_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.vectorize.serial_loop import Carried, SerialLoop
from warpwright.proposers.rewrites.vectorize.updates import Update


@dataclass(frozen=True, slots=True)
class Combined:
    """A carried value: `before` and `after` name it as each element finds and leaves it, where
    that is read."""

    name: str
    update: Update
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class BlockStep:
    """`name = value`, a store, which has no name, or the terms of a carried value put together."""

    name: str | None
    value: ast.expr
    line: int
    combined: Combined | None = None


@dataclass(frozen=True, slots=True)
class BlockBody:
    """Steps in the order in which they can be written. `lanes`: of each value to which every step
    adds the same amount, the name of what the elements of a block find there."""

    steps: tuple[BlockStep, ...]
    lanes: Mapping[str, str]


def body_of(loop: SerialLoop, names: Mapping[str, str], taken: set[str]) -> BlockBody:
    """The body for a block. `names`: what the new loop calls names that others have too.

    Raises DoesNotApply where a value that is assigned twice would have to be written early.
    """
    lanes = {a.name: free_name(f"{a.name}_lanes", taken) for a in loop.advanced}
    combined = {carried.place: _combined(loop, carried, taken) for carried in loop.carried}
    steps = []
    for place in _order(loop):
        if place in loop.advances:
            continue
        step = loop.steps[place]
        read = _Reads(_read_at(loop, place, names, lanes, combined))
        whole = combined.get(place)
        if whole is None:
            name = None if step.name is None else names.get(step.name, step.name)
            steps.append(BlockStep(name, read.of(step.value), step.line))
            continue
        update, only_if = whole.update, whole.update.only_if
        update = replace(
            update, term=read.of(update.term), only_if=None if only_if is None else read.of(only_if)
        )
        steps.append(BlockStep(None, update.term, step.line, replace(whole, update=update)))
    return BlockBody(tuple(steps), lanes)


def _combined(loop: SerialLoop, carried: Carried, taken: set[str]) -> Combined:
    reads = [place for place, step in enumerate(loop.steps) if carried.name in step.reads]
    before = any(place < carried.place for place in reads)
    after = any(place > carried.place for place in reads)
    return Combined(
        carried.name,
        carried.update,
        free_name(f"{carried.name}_before", taken) if before else None,
        free_name(f"{carried.name}_after", taken) if after else None,
    )


def _read_at(
    loop: SerialLoop,
    place: int,
    names: Mapping[str, str],
    lanes: Mapping[str, str],
    combined: Mapping[int, Combined],
) -> dict[str, ast.expr]:
    """What a read of each name is in the step at `place`."""
    read: dict[str, ast.expr] = {old: ast.Name(new, ast.Load()) for old, new in names.items()}
    for advanced in loop.advanced:
        value: ast.expr = ast.Name(lanes[advanced.name], ast.Load())
        if place > advanced.place:
            value = ast.BinOp(value, ast.Add(), advanced.amount)
        read[advanced.name] = value
    for own, whole in combined.items():
        name = whole.before if place < own else whole.after
        if name is not None:
            read[whole.name] = ast.Name(name, ast.Load())
    return read


class _Reads(ast.NodeTransformer):
    """Writes what a read of a name is in its place."""

    def __init__(self, read: Mapping[str, ast.expr]) -> None:
        self._read = read

    def of(self, node: ast.expr) -> ast.expr:
        return self.visit(clone(node))  # type: ignore[no-any-return]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return clone(self._read[node.id]) if node.id in self._read else node


def _order(loop: SerialLoop) -> list[int]:
    """Steps in an order in which every carried value is combined before any read of it."""
    order: list[int] = []

    def write(place: int) -> None:
        if place in order:
            return
        for carried in loop.carried:
            if place < carried.place and carried.name in loop.steps[place].reads:
                for earlier in _needed(loop, carried, order):
                    write(earlier)
        order.append(place)

    for place in range(len(loop.steps)):
        write(place)
    return order


def _needed(loop: SerialLoop, carried: Carried, done: Iterable[int]) -> list[int]:
    """The steps that the term of a carried value is made in, and its own, but for those done."""
    needed = set(loop.steps[carried.place].reads) - {carried.name}
    places = [carried.place]
    for place in range(carried.place - 1, -1, -1):
        if loop.steps[place].name in needed:
            places.append(place)
            needed |= loop.steps[place].reads
    names = [step.name for step in loop.steps]
    if twice := {name for name in needed if names.count(name) > 1}:
        raise DoesNotApply(f"{', '.join(sorted(twice))} is assigned twice in a step")
    return [place for place in reversed(places) if place not in set(done)]


def conditions(update: Update) -> list[ast.expr]:
    return [] if update.only_if is None else [update.only_if]


def reads_of(update: Update) -> set[str]:
    """Names that an update reads besides its own."""
    return set(loaded_names([update.term, *conditions(update)]))
