"""Reduction loops whose index is taken apart, and the digits they take it apart into."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits.order import Digit, Order, find_digits
from warpwright.proposers.rewrites.digits.read_digits import (
    DigitLanes,
    Digits,
    Header,
    Reader,
    Scalar,
    read_header,
)


@dataclass(frozen=True, slots=True)
class Reduction:
    """One loop: `number` counts the kernel's `for` loops in source order."""

    kernel: KernelText
    number: int
    header: Header
    digits: tuple[Digit, ...]
    conditions: tuple[str, ...]
    taken: frozenset[str]

    def order(self, lanes: str) -> Order:
        """The order with the digit of that name in the lanes. Raises DoesNotApply."""
        for index, digit in enumerate(self.digits):
            if digit.name == lanes:
                return Order(self.digits, index, self.conditions)
        raise DoesNotApply(f"the loop's index has no digit {lanes}")

    def reader(self) -> Reader:
        return new_reader(self.kernel, self.header)


def for_loops(kernel: KernelText) -> list[ast.For]:
    loops = [node for node in ast.walk(kernel.node) if isinstance(node, ast.For)]
    return sorted(loops, key=lambda node: (node.lineno, node.col_offset))


def read_reduction(kernel: KernelText, number: int) -> Reduction:
    """The loop of that number as a reduction over digits. Raises DoesNotApply."""
    loops = for_loops(kernel)
    if number >= len(loops):
        raise DoesNotApply(f"{kernel.node.name} has no loop {number}")
    loop = loops[number]
    header = read_header(kernel, new_reader(kernel, None), loop)
    if header is None:
        raise DoesNotApply(
            "the loop does not go in steps of a constant block over a product of constants "
            "(specialise first)"
        )
    if header.name in stored_names(loop.body):
        raise DoesNotApply("the loop assigns its own variable")
    reader = new_reader(kernel, header)
    survey = _Survey(reader)
    for statement in loop.body:
        survey.read(statement)
    names = [(n, part) for n, part in survey.names if _is_free(kernel, header, n, survey)]
    taken = set(loaded_names([kernel.node])) | set(stored_names([kernel.node]))
    taken |= {parameter.arg for parameter in kernel.parameters}
    digits, conditions = find_digits(header, survey.parts, names, taken)
    if len(digits) < 2:
        raise DoesNotApply("the loop takes its index apart into fewer than two digits")
    conditions = tuple(dict.fromkeys((*conditions, *reader.assumed)))
    return Reduction(kernel, number, header, digits, conditions, frozenset(taken))


def new_reader(kernel: KernelText, header: Header | None) -> Reader:
    names = {} if header is None or header.counts_blocks else {header.name: Scalar.BASE}
    return Reader(kernel, single_definitions(kernel), header, dict(names))


def single_definitions(kernel: KernelText) -> dict[str, ast.expr]:
    """Names that the kernel assigns once, in a plain assignment."""
    counts: dict[str, int] = {}
    for name in stored_names(kernel.node.body):
        counts[name] = counts.get(name, 0) + 1
    found = {}
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name) and counts[target.id] == 1:
            found[target.id] = value
    for parameter in kernel.parameters:
        found.pop(parameter.arg, None)
    return found


class _Survey:
    """Which parts of the index the loop uses, and what it calls them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.parts: list[Digits] = []
        self.names: list[tuple[str, Digits]] = []
        self.others: set[str] = set()

    def read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                known = self._reader.known(statement.value)
                if known is None:
                    self._expression(statement.value)
                    self._reader.learn(target.id, None)
                    self.others.add(target.id)
                    return
                self._reader.learn(target.id, known)
                if isinstance(known, Digits):
                    self.names.append((target.id, known))
                else:
                    self.others.add(target.id)
                return
        self.others |= set(stored_names([statement]))
        self._expression(statement)

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            known = self._reader.known(node)
            if isinstance(known, Digits):
                self.parts.append(known)
            if isinstance(known, (Digits, DigitLanes, Scalar)):
                return
        for child in ast.iter_child_nodes(node):
            self._expression(child)


def _is_free(kernel: KernelText, header: Header, name: str, survey: _Survey) -> bool:
    """Whether a digit may have this name: the loop calls nothing else so, nor does anyone else."""
    inside = loaded_names(header.loop.body)
    outside = loaded_names(kernel.node.body)
    everywhere = stored_names(kernel.node.body)
    own = stored_names(header.loop.body)
    return (
        name not in survey.others
        and name != header.name
        and everywhere.count(name) == own.count(name)
        and outside.count(name) == inside.count(name)
    )
