"""Digits of an index, and the terms of a sum that they are in.

d = s // (H * W)        AddressDigit(s, H * W, None)
r = s % (H * W)         AddressDigit(s, 1, H * W)
h = r // W              AddressDigit(s, W, H * W), as is `s // W % H`
w = r - h * W           AddressDigit(s, 1, W), as are `r % W` and `s % W`
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.reaching import Place, Reaching
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.read_digits import Axis, axis_of

_MOST_DEPTH = 12


@dataclass(frozen=True, slots=True)
class IndexName:
    """A name that is no digit, as of one definition."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class AddressDigit:
    """`of // low % (high // low)`; without `high` all that is above. `high` is a multiple of `low`.

    Division that cuts off, as Triton's, leaves all spellings the same number, below zero too.
    """

    of: IndexName
    low: Extent = ONE
    high: Extent | None = None

    def over(self, by: Extent) -> AddressDigit | None:
        """The digit divided; None where that is no digit."""
        low = self.low * by
        fits = self.high is None or self.high.over(low) is not None
        return AddressDigit(self.of, low, self.high) if fits else None

    def modulo(self, by: Extent) -> AddressDigit | None:
        """What division by `by` leaves; None where that is no digit."""
        high = self.low * by
        if self.high is None or self.high.over(high) is not None:
            return AddressDigit(self.of, self.low, high)
        return self if high.over(self.high) is not None else None

    @property
    def radix(self) -> Extent | None:
        """How many values it has."""
        return None if self.high is None else self.high.over(self.low)


@dataclass(frozen=True, slots=True)
class DigitTerm:
    """`digit * factor`, spread along `axis`, or any other summand `node` of `statement`."""

    factor: Extent
    axis: Axis
    digit: AddressDigit | None = None
    node: ast.expr | None = None
    statement: ast.stmt | None = None
    negative: bool = False


class DigitReader:
    """Reads the digits of one kernel."""

    def __init__(self, kernel: KernelText) -> None:
        self._kernel = kernel
        self.reaching = Reaching(kernel)
        self.opaque: set[ast.stmt] = set()
        """Assignments of which the names are not looked through in sums."""
        self._names: dict[AddressDigit, set[tuple[str, Place]]] = {}

    def extent(self, node: ast.expr, statement: ast.stmt, depth: int = 0) -> Extent | None:
        """A product of compile-time parameters and numbers above zero; None for others."""
        if isinstance(node, ast.Constant):
            return Extent(node.value) if type(node.value) is int and node.value > 0 else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left = self.extent(node.left, statement, depth)
            right = self.extent(node.right, statement, depth)
            return None if left is None or right is None else left * right
        if not isinstance(node, ast.Name) or depth > _MOST_DEPTH:
            return None
        found = self.reaching.definition(node.id, statement)
        if found is None:
            return None
        if found.value is not None and found.statement is not None:
            return self.extent(found.value, found.statement, depth + 1)
        return Extent(1, (node.id,)) if node.id in self._kernel.constants else None

    def digit(self, node: ast.expr, statement: ast.stmt, depth: int = 0) -> AddressDigit | None:
        """A name, or what division and remainder leave of one; None for any other expression."""
        if depth > _MOST_DEPTH:
            return None
        if isinstance(node, ast.Name):
            return self._named(node.id, statement, depth)
        if not isinstance(node, ast.BinOp):
            return None
        if isinstance(node.op, ast.FloorDiv | ast.Mod):
            of, by = self.digit(node.left, statement, depth + 1), self.extent(node.right, statement)
            if of is None or by is None:
                return None
            return of.over(by) if isinstance(node.op, ast.FloorDiv) else of.modulo(by)
        if isinstance(node.op, ast.Sub):
            return self._rest(node, statement, depth)
        return None

    def _named(self, name: str, statement: ast.stmt, depth: int) -> AddressDigit | None:
        found = self.reaching.definition(name, statement)
        if found is None:
            return None
        if found.value is not None and found.statement is not None:
            digit = self.digit(found.value, found.statement, depth + 1)
            if digit is not None and digit.low == ONE and digit.high is None:
                digit = None  # another name for an index is an index
            if digit is not None:
                self._names.setdefault(digit, set()).add((name, found.place))
                return digit
        return AddressDigit(IndexName(name, found.place))

    def name_of(self, digit: AddressDigit, statement: ast.stmt) -> str | None:
        """A name that has this value at the statement."""
        names: set[tuple[str, Place]] = self._names.get(digit, set())
        if digit.low == ONE and digit.high is None:
            names = {(digit.of.name, digit.of.place)}
        for name, place in sorted(names):
            found = self.reaching.definition(name, statement)
            if found is not None and found.place == place:
                return name
        return None

    def _rest(self, node: ast.BinOp, statement: ast.stmt, depth: int) -> AddressDigit | None:
        """`s - q * W` where `q` is `s // W`."""
        of, taken = self.digit(node.left, statement, depth + 1), node.right
        if of is None or not isinstance(taken, ast.BinOp) or not isinstance(taken.op, ast.Mult):
            return None
        for one, other in ((taken.left, taken.right), (taken.right, taken.left)):
            by, digit = self.extent(one, statement), self.digit(other, statement, depth + 1)
            if by is not None and digit is not None and digit == of.over(by):
                return of.modulo(by)
        return None

    def terms(
        self,
        node: ast.expr,
        statement: ast.stmt,
        factor: Extent = ONE,
        axis: Axis = None,
        negative: bool = False,
        depth: int = 0,
    ) -> Iterator[DigitTerm]:
        """The summands of an expression. Names are looked through where digits are in them."""
        rest = DigitTerm(factor, axis, None, node, statement, negative)
        if depth > _MOST_DEPTH or not self._has_digit(node, statement):
            yield rest
            return
        digit = self.digit(node, statement)
        if digit is not None and (digit.low != ONE or digit.high is not None):
            yield DigitTerm(factor, axis, digit, node, statement, negative)
            return
        depth += 1
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            less = isinstance(node.op, ast.Sub)
            yield from self.terms(node.left, statement, factor, axis, negative, depth)
            yield from self.terms(node.right, statement, factor, axis, negative != less, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one, other in ((node.right, node.left), (node.left, node.right)):
                by = self.extent(one, statement)
                if by is not None:
                    yield from self.terms(other, statement, factor * by, axis, negative, depth)
                    return
            yield rest
        elif isinstance(node, ast.Subscript) and axis is None and _is_new_axis(node):
            yield from self.terms(
                node.value, statement, factor, axis_of(node.slice), negative, depth
            )
        elif isinstance(node, ast.Name):
            found = self.reaching.definition(node.id, statement)
            if found is None or found.value is None or found.statement is None:
                yield rest
                return
            if found.statement in self.opaque:
                yield rest
                return
            inner = self.terms(found.value, found.statement, factor, axis, negative, depth)
            parts = list(inner)
            yield from parts if any(part.digit is not None for part in parts) else [rest]
        else:
            yield rest

    def _has_digit(self, node: ast.expr, statement: ast.stmt, depth: int = 0) -> bool:
        """Whether a digit is in the expression, names looked through."""
        if depth > _MOST_DEPTH:
            return False
        for inner in ast.walk(node):
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.FloorDiv | ast.Mod):
                return True
            if isinstance(inner, ast.Name):
                found = self.reaching.definition(inner.id, statement)
                value, where = (found.value, found.statement) if found else (None, None)
                if value and where and self._has_digit(value, where, depth + 1):
                    return True
        return False


def _is_new_axis(node: ast.Subscript) -> bool:
    return axis_of(node.slice) is not None
