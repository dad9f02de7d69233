"""Whole-number expressions of a kernel as sums of products: alike where they are the same number.

A polynomial maps each product (its factors in order) to how often it is added. Factors are what
cannot be taken apart: parameters, loop variables, block numbers, `tl.arange`, quotients. A vector's
factor says on which axis of a tile it lies: `arange(0, B)@1`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import HINTS
from warpwright.proposers.rewrites.digits.read_digits import Axis, axis_of
from warpwright.proposers.rewrites.repack.values import Values

Product = tuple[str, ...]
Polynomial = Mapping[Product, int]
MOST_TERMS = 64
_COUNTS = ("program_id", "num_programs")
_WIDTHS = (["int32"], ["int64"])


def plus(one: Polynomial, other: Polynomial, times: int = 1) -> Polynomial:
    """`one + times * other`."""
    total = dict(one)
    for product, count in other.items():
        total[product] = total.get(product, 0) + times * count
    return {product: count for product, count in total.items() if count}


def product_of(one: Polynomial, other: Polynomial) -> Polynomial:
    total: dict[Product, int] = {}
    for left, count in one.items():
        for right, times in other.items():
            whole = tuple(sorted((*left, *right)))
            total[whole] = total.get(whole, 0) + count * times
    if len(total) > MOST_TERMS:
        raise DoesNotApply("an index has too many terms")
    return {product: count for product, count in total.items() if count}


def over(one: Polynomial, factor: str) -> Polynomial | None:
    """The polynomial without a factor that each of its products has once; None where not."""
    found: dict[Product, int] = {}
    for product, count in one.items():
        if product.count(factor) != 1:
            return None
        rest = list(product)
        rest.remove(factor)
        found[tuple(rest)] = count
    return found


def told(polynomial: Polynomial) -> str:
    """A text that equal polynomials share."""
    terms = sorted(f"{count}*{'*'.join(product)}" for product, count in polynomial.items())
    return " + ".join(terms)


class Numbers:
    """Reads expressions at one statement of a kernel. `at_least_zero` collects the factors that
    are shown to be no less than zero, `lanes` those that count the lanes of an axis, each with how
    many there are. `scalars_kept`: names of one number are factors, whatever they stand for."""

    def __init__(self, values: Values, *, scalars_kept: bool = False) -> None:
        self._values = values
        self._scalars_kept = scalars_kept
        self.lanes: dict[str, str] = {}
        self._kernel = values.kernel
        self._lengths = _lengths(values)
        self.at_least_zero: set[str] = set(self._lengths)

    def read(self, node: ast.expr, axis: Axis = None) -> Polynomial:
        """Raises DoesNotApply where an expression may be something else than a whole number."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return {(): node.value} if node.value else {}
        if isinstance(node, ast.Name):
            return self._named(node, axis)
        if isinstance(node, ast.Subscript) and axis is None and axis_of(node.slice) is not None:
            return self.read(node.value, axis_of(node.slice))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return plus({}, self.read(node.operand, axis), -1)
        if isinstance(node, ast.BinOp):
            return self._operation(node, axis)
        if isinstance(node, ast.Call):
            return self._called(node, axis)
        raise DoesNotApply(f"{ast.unparse(node)} is no whole number of known form")

    def _named(self, node: ast.Name, axis: Axis) -> Polynomial:
        kept = self._scalars_kept and self._values.is_scalar(node)
        if node.id in self._values.definitions and kept:
            return {(node.id,): 1}
        if node.id in self._values.definitions:
            return self.read(self._values.definitions[node.id], axis)
        if node.id in self._values.loops:
            if self._counts_up(self._values.loops[node.id]):
                self.at_least_zero.add(node.id)
            return {(node.id,): 1}
        if node.id in self._values.parameters:
            return {(node.id,): 1}
        raise DoesNotApply(f"{node.id} has no one value")

    def _operation(self, node: ast.BinOp, axis: Axis) -> Polynomial:
        left, right = self.read(node.left, axis), self.read(node.right, axis)
        if isinstance(node.op, ast.Add):
            return plus(left, right)
        if isinstance(node.op, ast.Sub):
            return plus(left, right, -1)
        if isinstance(node.op, ast.Mult):
            return product_of(left, right)
        if isinstance(node.op, ast.FloorDiv | ast.Mod):
            sign = "//" if isinstance(node.op, ast.FloorDiv) else "%"
            factor = f"({told(left)} {sign} {told(right)})"
            # A remainder has the sign of what is divided, whatever it is divided by.
            divides = sign == "%" or self.is_at_least_zero(right)
            if divides and self.is_at_least_zero(left):
                self.at_least_zero.add(factor)
            return {(factor,): 1}
        raise DoesNotApply(f"{ast.unparse(node)} is no sum or product")

    def _called(self, node: ast.Call, axis: Axis) -> Polynomial:
        called = self._kernel.called(node)
        if called in HINTS and node.args:
            return self.read(node.args[0], axis)
        method = node.func if isinstance(node.func, ast.Attribute) and called is None else None
        widens = [self._kernel.path(argument) for argument in node.args] in _WIDTHS
        if method is not None and method.attr == "to" and widens:
            return self.read(method.value, axis)
        if called in _COUNTS and not node.keywords:
            self.at_least_zero.add(ast.unparse(node))
            return {(ast.unparse(node),): 1}
        if called == "arange" and len(node.args) == 2:
            first, last = (self.read(argument) for argument in node.args)
            factor = f"arange({told(last)})@{'' if axis is None else axis.index(':')}"
            if first:
                raise DoesNotApply("lanes do not count from zero")
            self.at_least_zero.add(factor)
            self.lanes[factor] = ast.unparse(node.args[1])
            return {(factor,): 1}
        raise DoesNotApply(f"{ast.unparse(node)} is no whole number of known form")

    def is_at_least_zero(self, polynomial: Polynomial) -> bool:
        """Whether that is shown: it adds nothing but products of what is not below zero."""
        return all(
            count > 0 and set(product) <= self.at_least_zero
            for product, count in polynomial.items()
        )

    def _counts_up(self, loop: ast.For) -> bool:
        call = loop.iter
        if not isinstance(call, ast.Call) or call.keywords:
            return False
        if self._kernel.called(call) not in ("range", "static_range"):
            return False
        others = [*call.args[:1], *call.args[2:]] if len(call.args) > 1 else []
        return all(self.is_at_least_zero(self.read(other)) for other in others)


def _lengths(values: Values) -> set[str]:
    """Parameters that are the length of an arange, so at least 1."""
    return {
        node.args[1].id
        for node in ast.walk(values.kernel.node)
        if isinstance(node, ast.Call)
        and values.kernel.called(node) == "arange"
        and len(node.args) == 2
        and isinstance(node.args[1], ast.Name)
        and node.args[1].id in values.parameters
    }
