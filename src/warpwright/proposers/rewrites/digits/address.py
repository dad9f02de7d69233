"""An address as a sum: digits of the index and other terms, each times a product of sizes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.read_digits import (
    Axis,
    Digits,
    Reader,
    Scalar,
    axis_of,
    subscripted,
)

_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Term:
    """`factor * atom`: a part of the index, or any other expression as source."""

    factor: Extent
    atom: Digits | str
    axis: Axis = None
    negative: bool = False

    @property
    def text(self) -> str:
        assert isinstance(self.atom, str)
        return subscripted(self.atom, self.axis)


@dataclass(frozen=True, slots=True)
class Address:
    """`pointer` plus terms."""

    pointer: str
    terms: tuple[Term, ...]


def read_address(reader: Reader, node: ast.expr) -> Address:
    """The address of a load. Raises DoesNotApply where it is no sum of that form."""
    terms = _Linear(reader).terms(node, 0)
    names = {parameter.arg for parameter in reader.kernel.parameters}
    pointers = [
        t
        for t in terms
        if t.atom in names and t.factor == ONE and not t.negative and is_pointer(reader, t)
    ]
    if len(pointers) != 1:
        raise DoesNotApply(f"no single pointer in {ast.unparse(node)}")
    rest = tuple(term for term in terms if term is not pointers[0])
    assert isinstance(pointers[0].atom, str)
    return Address(pointers[0].atom, rest)


def is_pointer(reader: Reader, term: Term) -> bool:
    """A parameter that no size is multiplied with, and that is no constant."""
    return isinstance(term.atom, str) and term.atom not in reader.kernel.constants


class _Linear:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def terms(self, node: ast.expr, depth: int) -> list[Term]:
        if depth > _MAX_DEPTH:
            raise DoesNotApply("an address is nested too deeply")
        known = self._reader.known(node)
        if isinstance(known, Digits):
            return [Term(ONE, known)]
        if isinstance(known, Scalar):
            raise DoesNotApply("an address uses the step's own index")
        extent = self._reader.extent(node)
        if extent is not None:
            return [Term(extent, "1")]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.terms(node.left, depth) + self.terms(node.right, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            less = self.terms(node.right, depth)
            less = [replace(term, negative=not term.negative) for term in less]
            return self.terms(node.left, depth) + less
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return self._product(node, depth)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, depth)
        if isinstance(node, ast.Name):
            if self._matters(node, 0) and not self._is_parameter(node.id):
                value = self._reader.definition(node.id)
                if value is None:
                    raise DoesNotApply(f"an address uses {node.id}, which is no plain sum here")
                return self.terms(value, depth + 1)
        elif self._matters(node, 0):
            raise DoesNotApply(f"an address is no sum: {ast.unparse(node)}")
        return [
            Term(ONE, ast.unparse(node) if isinstance(node, ast.Name) else f"({ast.unparse(node)})")
        ]

    def _product(self, node: ast.BinOp, depth: int) -> list[Term]:
        for factor, other in ((node.left, node.right), (node.right, node.left)):
            extent = self._reader.extent(factor)
            if extent is not None:
                inner = self.terms(other, depth + 1)
                return [replace(term, factor=term.factor * extent) for term in inner]
        if self._matters(node, 0):
            raise DoesNotApply(f"a factor in an address is no constant: {ast.unparse(node)}")
        return [Term(ONE, f"({ast.unparse(node)})")]

    def _subscript(self, node: ast.Subscript, depth: int) -> list[Term]:
        axis = axis_of(node.slice)
        if axis is None:
            raise DoesNotApply(f"a subscript in an address is not understood: {ast.unparse(node)}")
        found = []
        for term in self.terms(node.value, depth + 1):
            if isinstance(term.atom, Digits):
                if term.atom.axis is not None:
                    raise DoesNotApply("an index is subscripted twice")
                found.append(replace(term, atom=replace(term.atom, axis=axis)))
            elif term.axis is not None:
                raise DoesNotApply("an address is subscripted twice")
            else:
                scalar = term.atom == "1" or self._is_parameter(term.atom)
                found.append(term if scalar else replace(term, axis=axis))
        return found

    def _is_parameter(self, name: str) -> bool:
        return any(parameter.arg == name for parameter in self._reader.kernel.parameters)

    def _matters(self, node: ast.expr, depth: int) -> bool:
        """Whether an expression holds a parameter that is no constant, or a part of the index."""
        if depth > _MAX_DEPTH:
            return True
        for inner in ast.walk(node):
            if not isinstance(inner, ast.Name):
                continue
            if inner.id in self._reader.names:
                return True
            value = self._reader.definitions.get(inner.id)
            if value is None:
                if self._is_parameter(inner.id) and inner.id not in self._reader.kernel.constants:
                    return True
            elif value is not node and self._matters(value, depth + 1):
                return True
        return False
