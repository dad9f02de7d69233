"""What a condition on a rest says of a block whose lanes are of one class.

A sum or product keeps its rest where a number in it is replaced by one of the same rest: of
`offs % W + P - k * D` by S, the digit `offs % W` by the block's class along it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.common.value_axes import Shape, new_axes, shape_of
from warpwright.proposers.rewrites.digits.extent import ONE
from warpwright.proposers.rewrites.residues.zero_terms import Residue
from warpwright.proposers.rewrites.scalarise.flat_index import (
    FlatIndex,
    IndexDigit,
    Sizes,
    digit_of,
)

_ARITHMETIC = ast.Add | ast.Sub | ast.Mult
_Part = tuple[str, IndexDigit]
"""A digit of an index, by the index's name."""


@dataclass(frozen=True, slots=True)
class BlockTest:
    """A condition with the digits in it; none: it is one of a number of the block already."""

    residue: Residue
    digits: frozenset[_Part]


class ConditionReader:
    """Reads conditions at one loop, where names have these forms."""

    def __init__(
        self, indices: Sequence[FlatIndex], sizes: Sizes, shapes: Mapping[str, Shape]
    ) -> None:
        self._known = {i.name: {i.name: IndexDigit(ONE, None)} for i in indices}
        self._sizes, self._shapes = sizes, shapes

    def test(self, residue: Residue) -> BlockTest | None:
        """None where the value is no sum or product of digits and numbers."""
        found: set[_Part] = set()
        for part in self._vectors(parsed(residue.value)):
            digit = self.digit(part)
            if digit is None:
                return None
            found.add(digit)
        return BlockTest(residue, frozenset(found))

    def digit(self, node: ast.expr) -> _Part | None:
        for name, known in self._known.items():
            digit = digit_of(node, known, self._sizes)
            if digit is not None:
                return name, digit
        return None

    def text(self, test: BlockTest, classes: Mapping[_Part, str]) -> str:
        """The condition, with a block's classes in the place of its lanes' digits."""
        value = self._put(parsed(test.residue.value), classes)
        size = parsed(f"({test.residue.size})")
        return f"{ast.unparse(ast.BinOp(value, ast.Mod(), size))} == 0"

    def _vectors(self, node: ast.expr) -> Iterator[ast.expr]:
        """The parts of a sum or product that are no numbers."""
        if shape_of(node, self._shapes) is Shape.SCALAR:
            return
        inner = _inner(node)
        if not inner or self.digit(node) is not None:
            yield node
        for part in inner if self.digit(node) is None else ():
            yield from self._vectors(part)

    def _put(self, node: ast.expr, classes: Mapping[_Part, str]) -> ast.expr:
        if shape_of(node, self._shapes) is Shape.SCALAR:
            return node
        digit = self.digit(node)
        if digit is not None:
            return ast.Name(classes[digit], ast.Load())
        if isinstance(node, ast.BinOp):
            left, right = self._put(node.left, classes), self._put(node.right, classes)
            return ast.BinOp(left, node.op, right)
        (inner,) = _inner(node)
        put = self._put(inner, classes)
        return ast.UnaryOp(node.op, put) if isinstance(node, ast.UnaryOp) else put


def _inner(node: ast.expr) -> list[ast.expr]:
    """What a sum, a product, a negative number or a new axis is made of."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [node.operand]
    if isinstance(node, ast.Subscript) and new_axes(node) is not None:
        return [node.value]
    return []
