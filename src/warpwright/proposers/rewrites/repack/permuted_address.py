"""An address as coefficient times index, and the same indices over a permuted tensor.

An address `pointer + row * (C * T) + c * T + t` with 0 <= c < C and 0 <= t < T walks a tensor of
[rows, C, T]. Its *tail* is what one row holds: here c and t. In a copy of [rows, T, C] the same
element is at `pointer + row * (C * T) + t * C + c`, whatever the row is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from math import prod

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.read_digits import Axis, axis_of, subscripted
from warpwright.proposers.rewrites.repack.index_ranges import Ranges
from warpwright.proposers.rewrites.repack.values import Values

_MOST_LEVELS = 4
"""How deep names of an address are looked through; names further inside are indices."""


@dataclass(frozen=True, slots=True)
class Part:
    """`factor * node`; `node` is None for the number 1."""

    factor: Extent
    node: ast.expr | None
    axis: Axis
    scalar: bool

    @property
    def text(self) -> str:
        if self.node is None:
            return self.factor.bracketed
        inner = ast.unparse(self.node)
        if not isinstance(self.node, ast.Name | ast.Call | ast.Constant):
            inner = f"({inner})"
        inner = subscripted(inner, self.axis)
        return inner if self.factor == ONE else f"{inner} * {self.factor.bracketed}"


@dataclass(frozen=True, slots=True)
class Walk:
    """An address: `rows`, then the tail from the largest coefficient, whose first is the lanes'.

    `sizes` are those of the tail: index 0 <= tail[i] < sizes[i].
    """

    operand: str
    rows: tuple[Part, ...]
    tail: tuple[Part, ...]
    sizes: tuple[Extent, ...]

    def packed(self, pointer: str) -> str:
        """The address in the copy, its lanes side by side."""
        lanes, *others = self.tail
        moved = [Part(p.factor * self.sizes[0], p.node, p.axis, p.scalar) for p in others]
        last = Part(ONE, lanes.node, lanes.axis, lanes.scalar)
        return " + ".join([pointer, *(part.text for part in (*self.rows, *moved, last))])


def read_walk(kernel: KernelText, statement: ast.stmt, load: ast.Call, operand: str) -> Walk:
    """How a load of a statement walks its operand. Raises DoesNotApply."""
    values = Values(kernel, statement, operand)
    reason: DoesNotApply | None = None
    for level in range(_MOST_LEVELS):
        try:
            parts = _Sum(values, level).parts(load.args[0], None, 0)
            return _walk(values, parts, load)
        except DoesNotApply as error:
            reason = reason or error
    assert reason is not None
    raise reason


def _walk(values: Values, parts: list[Part], load: ast.Call) -> Walk:
    pointers = [p for p in parts if isinstance(p.node, ast.Name) and p.node.id == values.operand]
    if len(pointers) != 1 or pointers[0].factor != ONE:
        raise DoesNotApply(f"the address is not {values.operand} and numbers")
    rest = [part for part in parts if part is not pointers[0]]
    ordered = _by_coefficient(rest)
    lanes = next((i for i, part in enumerate(ordered) if not part.scalar), None)
    if not lanes:
        raise DoesNotApply("what is side by side in memory is no number of the step")
    if ordered[0].factor != ONE or lanes + 1 >= len(ordered):
        raise DoesNotApply("the address lacks a last dimension or a first one")
    tail = tuple(reversed(ordered[: lanes + 1]))
    rows = tuple(part for part in rest if part not in tail)
    sizes = _sizes(ordered[lanes + 1].factor, rows, tail)
    names = {name for size in sizes for name in size.names}
    ranges = Ranges(values, names, _mask(load))
    for part, size in zip(tail, sizes, strict=True):
        if part.node is None or not ranges.inside(part.node, size, part.axis):
            raise DoesNotApply(f"nothing shows that {part.text} stays below {size}")
    return Walk(values.operand, rows, tail, sizes)


def _by_coefficient(parts: list[Part]) -> list[Part]:
    """From the smallest coefficient: each divides all that follow it. Raises DoesNotApply."""
    left, ordered = list(parts), []
    while left:
        least = [p for p in left if all(q.factor.over(p.factor) is not None for q in left)]
        if not least:
            raise DoesNotApply("the coefficients of the address are no products of one another")
        ordered += least[:1]
        left = [part for part in left if part is not least[0]]
    return ordered


def _sizes(row: Extent, rows: tuple[Part, ...], tail: tuple[Part, ...]) -> tuple[Extent, ...]:
    """Of the tail's dimensions, in which a row has `row` elements."""
    sizes = []
    above = row
    for part in tail:
        size = above.over(part.factor)
        if size is None or size == ONE:
            raise DoesNotApply("two indices of the address have one coefficient")
        sizes.append(size)
        above = part.factor
    if any(part.factor.over(row) is None for part in rows):
        raise DoesNotApply("the address has a part that is no whole row")
    return tuple(sizes)


def _mask(load: ast.Call) -> ast.expr | None:
    if len(load.args) > 1:
        return load.args[1]
    return next((keyword.value for keyword in load.keywords if keyword.arg == "mask"), None)


class _Sum:
    """Takes an address apart, names looked through down to a level."""

    def __init__(self, values: Values, level: int) -> None:
        self._values = values
        self._level = level

    def parts(self, node: ast.expr, axis: Axis, depth: int) -> list[Part]:
        extent = self._values.extent(node)
        if extent is not None:
            return [Part(extent, None, None, scalar=True)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.parts(node.left, axis, depth) + self.parts(node.right, axis, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for factor, other in ((node.left, node.right), (node.right, node.left)):
                extent = self._values.extent(factor)
                if extent is not None:
                    return [
                        Part(extent * part.factor, part.node, part.axis, part.scalar)
                        for part in self.parts(other, axis, depth)
                    ]
        if isinstance(node, ast.Subscript) and axis_of(node.slice) is not None:
            if axis is not None:
                raise DoesNotApply("an address is subscripted twice")
            return self.parts(node.value, axis_of(node.slice), depth)
        if isinstance(node, ast.Name) and node.id in self._values.definitions:
            value = self._values.definitions[node.id]
            if depth < self._level or self._has_operand(value):
                return self.parts(value, axis, depth + (not self._has_operand(value)))
        if node_has(node, self._values.operand) and not isinstance(node, ast.Name):
            raise DoesNotApply(f"the address is no sum: {ast.unparse(node)}")
        scalar = self._values.is_scalar(node)
        return [Part(ONE, node, None if scalar else axis, scalar)]

    def _has_operand(self, node: ast.expr) -> bool:
        definitions = self._values.definitions
        return node_has(node, self._values.operand) or any(
            self._has_operand(definitions[inner.id])
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name) and inner.id in definitions
        )


def node_has(node: ast.AST, name: str) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(node))


def dimensions_of(
    shape: tuple[int, ...], sizes: tuple[Extent, ...], values: dict[str, int]
) -> tuple[int, ...]:
    """How many of a tensor's dimensions are the rows, and each index of the tail.

    Raises DoesNotApply unless they are just those, from the right.
    """
    counts: list[int] = []
    end = len(shape)
    for size in reversed(sizes):
        wanted, start = size.value(values), end - 1
        while start > 0 and wanted is not None and prod(shape[start:end]) < wanted:
            start -= 1
        if start <= 0 or prod(shape[start:end]) != wanted:
            raise DoesNotApply("the tensor's dimensions are not those of the address")
        counts.insert(0, end - start)
        end = start
    return (end, *counts)


def permutation_of(groups: tuple[int, ...]) -> tuple[int, ...]:
    """The rows, the other indices as they were, the lanes' dimensions last."""
    rows, lanes = groups[0], groups[1]
    total = sum(groups)
    return (*range(rows), *range(rows + lanes, total), *range(rows, rows + lanes))
