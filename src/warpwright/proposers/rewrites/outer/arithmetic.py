"""Whole-number expressions as syntax: put together, folded where plain numbers meet, evaluated."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Mapping, Sequence

MAX_VALUES = 64
"""Of how many values of an expression account is kept."""


def number(value: int) -> ast.expr:
    return ast.Constant(value)


def value_of(node: ast.expr) -> int | None:
    """The value of a plain number."""
    is_int = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if is_int else None  # type: ignore[attr-defined]


def product(factors: Sequence[ast.expr]) -> ast.expr:
    """The factors from the left; plain numbers as one, behind the names."""
    numbers = [value for factor in factors if (value := value_of(factor)) is not None]
    rest = [factor for factor in factors if value_of(factor) is None]
    if (whole := math.prod(numbers)) != 1 or not rest:
        rest.append(number(whole))
    total = rest[0]
    for factor in rest[1:]:
        total = ast.BinOp(total, ast.Mult(), factor)
    return total


def quotient(node: ast.expr, divisor: ast.expr) -> ast.expr:
    over, under = value_of(node), value_of(divisor)
    if under == 1:
        return node
    if over is not None and under:
        return number(over // under)
    return ast.BinOp(node, ast.FloorDiv(), divisor)


def remainder(node: ast.expr, divisor: ast.expr) -> ast.expr:
    if value_of(divisor) == 1:
        return number(0)
    return ast.BinOp(node, ast.Mod(), divisor)


def total(left: ast.expr, right: ast.expr) -> ast.expr:
    return right if value_of(left) == 0 else ast.BinOp(left, ast.Add(), right)


def values(node: ast.expr, known: Mapping[str, frozenset[int]]) -> frozenset[int] | None:
    """Every value that an expression may have; None where a name of it is not known.

    Names are taken to vary on their own, so that values may be among them that never come up.
    """
    if (value := value_of(node)) is not None:
        return frozenset({value})
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.BinOp):
        return None
    left, right = values(node.left, known), values(node.right, known)
    if not left or not right or len(left) * len(right) > MAX_VALUES:
        return None
    results = {_result(node.op, a, b) for a, b in itertools.product(left, right)}
    whole = frozenset(result for result in results if result is not None)
    return whole if len(whole) == len(results) else None


def _result(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv | ast.Mod) and left >= 0 and right > 0:
        return left // right if isinstance(operator, ast.FloorDiv) else left % right
    return None
