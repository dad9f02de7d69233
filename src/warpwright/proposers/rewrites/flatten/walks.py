"""Nests of loops that walk memory, and with which stride each of them does."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.reaching import Reaching
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.join.digit_terms import DigitReader

LANES = "*"
"""Stands for the lanes among the variables of a nest."""
Strides = Mapping[str, Extent]
"""For each variable what an address grows by with it; those it does not depend on are left out."""


@dataclass(frozen=True, slots=True)
class Level:
    """One loop from 0 in steps of 1, and what stands in it before the next loop."""

    loop: ast.For
    variable: str
    extent: Extent
    between: tuple[ast.Assign, ...]


@dataclass(frozen=True, slots=True)
class WalkNest:
    """`levels` from the outside in; in the last of them `inner` takes `step` lanes at a time."""

    levels: tuple[Level, ...]
    inner: ast.For
    variable: str
    extent: Extent
    step: ast.expr

    @property
    def statement(self) -> ast.For:
        return self.levels[0].loop

    @property
    def total(self) -> Extent:
        """Elements of the whole nest."""
        whole = ONE
        for level in self.levels:
            whole = whole * level.extent
        return whole * self.extent


def walk_nests(kernel: KernelText) -> Iterator[WalkNest]:
    """Every chain of at least two loops that ends in a loop over blocks of lanes."""
    reader = DigitReader(kernel)
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.For):
            nest = _nest(kernel, reader, node)
            if nest is not None:
                yield nest


def _nest(kernel: KernelText, reader: DigitReader, node: ast.For) -> WalkNest | None:
    levels: list[Level] = []
    while True:
        bounds = node.iter.args if isinstance(node.iter, ast.Call) else []
        plain = kernel.called(node.iter) == "range" and not node.orelse
        if not plain or not isinstance(node.target, ast.Name):
            return None
        if len(bounds) == 3:
            extent = reader.extent(bounds[1], node)
            if extent is None or not _is_zero(bounds[0]) or not levels:
                return None
            return WalkNest(tuple(levels), node, node.target.id, extent, bounds[2])
        extent = reader.extent(bounds[-1], node) if bounds else None
        *before, last = node.body
        assigns = tuple(one for one in before if isinstance(one, ast.Assign))
        starts = len(bounds) == 1 or (len(bounds) == 2 and _is_zero(bounds[0]))
        if extent is None or not starts or len(assigns) != len(before):
            return None
        if not isinstance(last, ast.For):
            return None
        levels.append(Level(node, node.target.id, extent, assigns))
        node = last


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


class StrideReader:
    """Reads how expressions in a nest grow with its variables."""

    def __init__(self, kernel: KernelText, nest: WalkNest) -> None:
        self._kernel, self._nest = kernel, nest
        self._digits = DigitReader(kernel)
        self._reaching: Reaching = self._digits.reaching
        self._inside = set(ast.walk(nest.statement))
        self.variables = {level.variable for level in nest.levels} | {nest.variable}
        self.lanes: list[ast.expr] = []
        """Where the text says `tl.arange(0, step)`, or a name for that from before the nest."""

    def strides(self, node: ast.expr, statement: ast.stmt) -> Strides:
        """Raises DoesNotApply where the expression is no sum of products with constants."""
        if isinstance(node, ast.Name):
            return self._name(node, statement)
        if self._is_lanes(node):
            self.lanes.append(node)
            return {LANES: ONE}
        if isinstance(node, ast.BinOp):
            left, right = self.strides(node.left, statement), self.strides(node.right, statement)
            if isinstance(node.op, ast.Add):
                if left.keys() & right.keys():
                    raise DoesNotApply(f"{ast.unparse(node)} grows twice with one loop")
                return {**left, **right}
            if isinstance(node.op, ast.Sub) and not right:
                return left
            if isinstance(node.op, ast.Mult) and bool(left) != bool(right):
                factor = self._digits.extent(node.right if left else node.left, statement)
                if factor is not None:
                    return {name: one * factor for name, one in (left or right).items()}
            if not left and not right:
                return {}
        elif not any(self.strides(child, statement) for child in _children(node)):
            return {}
        raise DoesNotApply(f"{ast.unparse(node)} does not grow evenly with the loops")

    def extent(self, node: ast.expr, statement: ast.stmt) -> Extent | None:
        return self._digits.extent(node, statement)

    def resolved(self, node: ast.expr, statement: ast.stmt) -> tuple[ast.expr, ast.stmt]:
        """What a name is assigned, and where, as long as that is settled; other nodes as such."""
        while isinstance(node, ast.Name):
            found = self._reaching.definition(node.id, statement)
            if found is None or found.value is None or found.statement is None:
                break
            node, statement = found.value, found.statement
        return node, statement

    def is_plain_index(self, node: ast.expr, statement: ast.stmt) -> bool:
        """Whether it is the innermost variable and the lanes, and nothing is added to them: an
        element that a row leaves out is left out of every row."""
        node, statement = self.resolved(node, statement)
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
            return False
        sides = [self.resolved(side, statement)[0] for side in (node.left, node.right)]
        named = [isinstance(s, ast.Name) and s.id == self._nest.variable for s in sides]
        return any(named) and any(map(self._is_lanes, sides))

    def is_own(self, name: str, statement: ast.stmt) -> bool:
        """Whether the name's value comes from the same step of the nest."""
        found = self._reaching.definition(name, statement)
        return name in self.variables or (found is not None and found.statement in self._inside)

    def is_carried(self, name: str, statement: ast.stmt) -> bool:
        """Whether a step of the nest may read what a step before it left."""
        stored = name in stored_names([self._nest.statement])
        return stored and self._reaching.definition(name, statement) is None

    def _name(self, node: ast.Name, statement: ast.stmt) -> Strides:
        if node.id in self.variables:
            return {node.id: ONE}
        found = self._reaching.definition(node.id, statement)
        if found is None or found.value is None or found.statement is None:
            if node.id in stored_names([self._nest.statement]):
                raise DoesNotApply(f"{node.id} may have several values")
            return {}
        if found.statement in self._inside:
            return self.strides(found.value, found.statement)
        if self._is_lanes(found.value):
            self.lanes.append(node)
            return {LANES: ONE}
        return {}

    def _is_lanes(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and self._kernel.called(node) == "arange"
            and len(node.args) == 2
            and _is_zero(node.args[0])
            and ast.unparse(node.args[1]) == ast.unparse(self._nest.step)
        )


def _children(node: ast.expr) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.keyword):
            yield child.value
