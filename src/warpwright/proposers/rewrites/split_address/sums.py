"""The address of a tile as a sum of parts of which none is a tile itself.

    x_ptr + ((n[:, None] * C + c[None, :]) * H + top[:, None] + r[None, :]) * W

is, for what multiplies out, the pointer, `n[:, None] * C * H * W + top[:, None] * W` along the
first axis, and `c[None, :] * H * W + r[None, :] * W` along the second.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of
from warpwright.proposers.rewrites.repack.values import Values

_MAX_DEPTH = 12
_MOST_TERMS = 32
_FLAT = (Shape.SCALAR, Shape.COLUMN, Shape.ROW)
_OTHER_WIDTHS = frozenset({
    "int1", "int8", "int16", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16",
    "float32", "float64",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class SumTerm:
    """`node` times the factors, in a form that is no tile. `negative`: taken off the sum."""

    node: ast.expr
    factors: tuple[ast.expr, ...]
    shape: Shape
    negative: bool

    @property
    def text(self) -> str:
        """The term without its sign, in the brackets that it needs in a sum."""
        product = self.node
        for factor in self.factors:
            product = ast.BinOp(product, ast.Mult(), factor)
        text = ast.unparse(product)
        tight = isinstance(product, ast.Name | ast.Subscript | ast.Call | ast.Constant | ast.BinOp)
        if isinstance(product, ast.BinOp):
            tight = not isinstance(product.op, ast.Add | ast.Sub)
        return text if tight else f"({text})"


@dataclass(frozen=True, slots=True)
class TileSum:
    """`pointer` plus terms; `through`: names that were looked through on the way."""

    pointer: SumTerm
    terms: tuple[SumTerm, ...]
    through: frozenset[str]


def read_sum(
    kernel: KernelText, statement: ast.stmt, node: ast.expr, pointers: frozenset[str]
) -> TileSum:
    """The address `node` of a statement in parts. Raises DoesNotApply where it is no such sum.

    `pointers`: the kernel's parameters that are tensors.
    """
    reader = _Reader(kernel, statement, pointers)
    terms = list(reader.terms(node, (), False, 0))
    found = [term for term in terms if reader.has_pointer(term.node)]
    if len(found) != 1 or found[0].factors or found[0].negative:
        raise DoesNotApply("the address is not one pointer and numbers")
    rest = tuple(term for term in terms if term is not found[0])
    for part in rest:
        for piece in (part.node, *part.factors):
            reader.refuse_other_types(piece)
    return TileSum(found[0], rest, frozenset(reader.through))


class _Reader:
    def __init__(self, kernel: KernelText, statement: ast.stmt, pointers: frozenset[str]) -> None:
        self._kernel = kernel
        self._pointers = pointers
        self._values = Values(kernel, statement, "")
        self.through: set[str] = set()
        self._count = 0

    def terms(
        self, node: ast.expr, factors: tuple[ast.expr, ...], negative: bool, depth: int
    ) -> Iterator[SumTerm]:
        """The parts of `node` times the factors. Raises DoesNotApply."""
        shape = self._shape(node)
        self._count += 1
        if depth > _MAX_DEPTH or self._count > 2 * _MOST_TERMS:
            raise DoesNotApply("the address is a sum of too many parts")
        if shape in _FLAT:
            yield SumTerm(node, factors, shape, negative)
        elif shape is not Shape.TILE:
            raise DoesNotApply(f"the form of {ast.unparse(node)} is not known")
        elif isinstance(node, ast.Name):
            value = self._values.definitions.get(node.id)
            if value is None:
                raise DoesNotApply(f"{node.id} may have several values")
            self.through.add(node.id)
            yield from self.terms(value, factors, negative, depth + 1)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield from self.terms(node.operand, factors, not negative, depth + 1)
        elif isinstance(node, ast.BinOp):
            yield from self._operation(node, factors, negative, depth)
        else:
            raise DoesNotApply(f"{ast.unparse(node)} is no sum of rows and columns")

    def _operation(
        self, node: ast.BinOp, factors: tuple[ast.expr, ...], negative: bool, depth: int
    ) -> Iterator[SumTerm]:
        if isinstance(node.op, ast.Add | ast.Sub):
            less = isinstance(node.op, ast.Sub)
            yield from self.terms(node.left, factors, negative, depth + 1)
            yield from self.terms(node.right, factors, negative != less, depth + 1)
            return
        if isinstance(node.op, ast.Mult):
            for factor, other in ((node.right, node.left), (node.left, node.right)):
                if self._shape(factor) is Shape.SCALAR:
                    yield from self.terms(other, (factor, *factors), negative, depth + 1)
                    return
        raise DoesNotApply(f"{ast.unparse(node)} is no sum of rows and columns")

    def _shape(self, node: ast.expr) -> Shape:
        return shape_of(node, self._values.shapes)

    def has_pointer(self, node: ast.expr) -> bool:
        """Whether a value is made of a tensor's address, other than by what is loaded there."""
        return any(
            isinstance(inner, ast.Name) and inner.id in self._pointers
            for inner in self._made_of(node)
        )

    def refuse_other_types(self, node: ast.expr) -> None:
        """Raises DoesNotApply unless a number surely has 32 bits: those wrap around alike in any
        order, and a sum of them is a number of 32 bits again."""
        stored = {
            inner.id
            for inner in ast.walk(self._kernel.node)
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
        }
        known = self._values.definitions.keys() | self._values.loops.keys()
        for inner in self._made_of(node):
            if isinstance(inner, ast.Call) and self._kernel.called(inner) == "load":
                raise DoesNotApply(f"{ast.unparse(node)} follows from what memory holds")
            if isinstance(inner, ast.Attribute) and inner.attr in _OTHER_WIDTHS:
                raise DoesNotApply(f"{ast.unparse(node)} is counted as {inner.attr}")
            if isinstance(inner, ast.Div):
                raise DoesNotApply(f"{ast.unparse(node)} is no whole number")
            if isinstance(inner, ast.Name) and inner.id in stored - known and self._casts():
                raise DoesNotApply(f"{inner.id} may have other than 32 bits")

    def _casts(self) -> bool:
        return any(
            isinstance(inner, ast.Attribute) and inner.attr in ("int64", "uint64", "uint32")
            for inner in ast.walk(self._kernel.node)
        )

    def _made_of(self, node: ast.AST) -> Iterator[ast.AST]:
        """All parts of an expression and of what its names stand for; of a load itself alone."""
        yield node
        if isinstance(node, ast.Call) and self._kernel.called(node) == "load":
            return
        if isinstance(node, ast.Name) and node.id in self._values.definitions:
            yield from self._made_of(self._values.definitions[node.id])
        for child in ast.iter_child_nodes(node):
            yield from self._made_of(child)
