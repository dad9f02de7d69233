"""Flat indices of a block, and the digits that a kernel takes of them.

    offs = pid * BLOCK + tl.arange(0, BLOCK)      a flat index: `first` is pid * BLOCK
    w = offs % W                                  the digit below W
    t = offs // W                                 the digits from W up
    h = t % H                                     the digit from W up, below W * H

A digit is `IndexDigit(low, high)`: the number `(index // low) % (high // low)`; `high` is None
where nothing is cut off above.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.value_axes import HINTS, Shape, shape_of, shapes_before
from warpwright.proposers.rewrites.digits.extent import ONE, Extent

_MAX_DEPTH = 8
_BODIES = ("body", "orelse")


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """`name = first + tl.arange(0, lanes)`, statement number `place` of a list of them."""

    name: str
    first: ast.expr
    lanes: Extent
    body: Sequence[ast.stmt]
    place: int

    @property
    def statement(self) -> ast.stmt:
        return self.body[self.place]

    @property
    def behind(self) -> Sequence[ast.stmt]:
        return self.body[self.place + 1 :]


@dataclass(frozen=True, slots=True)
class IndexDigit:
    low: Extent
    high: Extent | None

    def text(self, first: str) -> str:
        """The digit of the number that `first` says, as source."""
        above = first if self.low == ONE else f"{first} // {self.low.bracketed}"
        if self.high is None:
            return above
        size = self.high.over(self.low)
        assert size is not None
        return f"{above} % {size.bracketed}"


class Sizes:
    """Products of parameters and numbers, names of the kernel that stand for one resolved."""

    def __init__(self, kernel: KernelText) -> None:
        stored = stored_names(kernel.node.body)
        parameters = {parameter.arg for parameter in kernel.parameters}
        self._parameters = parameters - set(stored)
        self._values = {
            node.targets[0].id: node.value
            for node in ast.walk(kernel.node)
            if isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
            and stored.count(node.targets[0].id) == 1
            and node.targets[0].id not in parameters
        }

    def value(self, name: str) -> ast.expr | None:
        """What a name is assigned, where it is assigned once."""
        return self._values.get(name)

    def of(self, node: ast.expr, depth: int = 0) -> Extent | None:
        """A product of parameters and numbers above zero; None for anything else."""
        if isinstance(node, ast.Constant):
            return Extent(node.value) if type(node.value) is int and node.value > 0 else None
        if isinstance(node, ast.Name):
            if node.id in self._parameters:
                return Extent(1, (node.id,))
            value = self._values.get(node.id)
            return None if value is None or depth > _MAX_DEPTH else self.of(value, depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = self.of(node.left, depth + 1), self.of(node.right, depth + 1)
            return None if left is None or right is None else left * right
        return None


def flat_indices(kernel: KernelText, sizes: Sizes) -> list[FlatIndex]:
    """Every flat index that a kernel assigns once, in source order."""
    stored = stored_names(kernel.node.body)
    found = []
    for body in _bodies(kernel.node):
        for place, node in enumerate(body):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target = node.targets[0]
            if not isinstance(target, ast.Name) or stored.count(target.id) != 1:
                continue
            parts = _first_and_lanes(kernel, node, sizes)
            if parts is not None:
                found.append(FlatIndex(target.id, *parts, body, place))
    return sorted(found, key=lambda index: index.statement.lineno)


def _bodies(node: ast.AST) -> Iterator[Sequence[ast.stmt]]:
    """Every list of statements in a kernel, its own first."""
    for inner in ast.walk(node):
        for name in _BODIES:
            body = getattr(inner, name, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                yield body


def _first_and_lanes(
    kernel: KernelText, statement: ast.Assign, sizes: Sizes
) -> tuple[ast.expr, Extent] | None:
    """The scalar and the number of lanes of `scalar + tl.arange(0, lanes)`."""
    shapes = shapes_before(kernel.node, statement)
    lanes: Extent | None = None
    first: ast.expr | None = None
    for term in _terms(_unhinted(statement.value)):
        found = _arange(kernel, term, sizes)
        if found is not None and lanes is None:
            lanes = found
        elif shape_of(term, shapes) is Shape.SCALAR and found is None:
            first = term if first is None else ast.BinOp(first, ast.Add(), term)
        else:
            return None
    return None if first is None or lanes is None else (first, lanes)


def _unhinted(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Call) and called_name(node) in HINTS and node.args:
        node = node.args[0]
    return node


def _terms(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node]


def _arange(kernel: KernelText, node: ast.expr, sizes: Sizes) -> Extent | None:
    """The lanes of `tl.arange(0, lanes)`, or of a name that stands for it."""
    if isinstance(node, ast.Name):
        value = sizes.value(node.id)
        return None if value is None else _arange(kernel, value, sizes)
    if kernel.called(node) != "arange" or not isinstance(node, ast.Call) or len(node.args) != 2:
        return None
    start = node.args[0]
    if not isinstance(start, ast.Constant) or start.value != 0:
        return None
    return sizes.of(node.args[1])


def digit_of(node: ast.expr, known: Mapping[str, IndexDigit], sizes: Sizes) -> IndexDigit | None:
    """Which digit of the index an expression is; None for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.BinOp):
        return None
    digit = digit_of(node.left, known, sizes)
    if digit is None:
        return None
    if isinstance(node.op, ast.Sub):
        return _rest(digit, node.right, known, sizes)
    size = sizes.of(node.right)
    if size is None:
        return None
    bound = digit.low * size
    whole = digit.high is None or digit.high.over(bound) is not None
    if isinstance(node.op, ast.FloorDiv) and whole:
        return IndexDigit(bound, digit.high)
    if isinstance(node.op, ast.Mod) and whole:
        return IndexDigit(digit.low, bound)
    return None


def _rest(
    digit: IndexDigit, node: ast.expr, known: Mapping[str, IndexDigit], sizes: Sizes
) -> IndexDigit | None:
    """`t - q * W` where q is `t // W`: the digit below W."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
        return None
    for one, other in ((node.left, node.right), (node.right, node.left)):
        quotient, size = digit_of(one, known, sizes), sizes.of(other)
        if quotient is None or size is None:
            continue
        if quotient == IndexDigit(digit.low * size, digit.high):
            return IndexDigit(digit.low, quotient.low)
    return None
