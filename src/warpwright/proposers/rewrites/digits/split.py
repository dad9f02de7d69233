"""An address in three parts: what is one number for a step, what follows its rows, its columns.

    ((n * C + c[:, None]) * H + h[None, :]) * W + w[None, :]
        →  n * (C * H * W)  +  c[:, None] * (H * W)  +  (h[None, :] * W + w[None, :])

Whole numbers make the same sum in any order, and no part of it is larger than the whole. Each lane
then costs one addition, and parts that no step changes are worked out before the loop.
"""

from __future__ import annotations

import ast

from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.digits.address import Address, Term
from warpwright.proposers.rewrites.digits.extent import ONE
from warpwright.proposers.rewrites.digits.order import Order
from warpwright.proposers.rewrites.digits.read_digits import Axis, Digits, Reader, axis_of

ROWS, COLUMNS = (":", "None"), ("None", ":")
_SCALAR = "scalar"
Spread = Axis | str
"""`"scalar"`, an axis, or None where it cannot be told."""


def split_address(
    reader: Reader, order: Order, scalars: set[str], address: Address
) -> ast.expr | None:
    """The pointer of a load in parts; None where a part cannot be told or there is one only."""
    groups: dict[Spread, list[str]] = {_SCALAR: [], ROWS: [], COLUMNS: []}
    for term in address.terms:
        spread = _spread(reader, order, scalars, term)
        if spread not in groups or (term.negative and isinstance(term.atom, Digits)):
            return None
        groups[spread].append(("- " if term.negative else "+ ") + _text(order, term))
    if not groups[ROWS] or not groups[COLUMNS] or _is_wide(reader):
        return None
    parts = [_sum(group) for group in groups.values() if group]
    text = " ".join([address.pointer, *parts])
    return parsed(text)


def _text(order: Order, term: Term) -> str:
    if term.atom == "1":
        return term.factor.bracketed
    atom = order.text(term.atom) if isinstance(term.atom, Digits) else term.text
    return atom if term.factor == ONE else f"{atom} * {term.factor.bracketed}"


def _sum(terms: list[str]) -> str:
    """`+ a` for one term, `+ (a - b)` for more; a sum that would begin with minus begins with 0."""
    if len(terms) == 1:
        return terms[0]
    ordered = sorted(terms, key=lambda term: term.startswith("-"))
    text = " ".join(ordered)
    return f"+ ({text.removeprefix('+ ') if text.startswith('+') else '0 ' + text})"


def _spread(reader: Reader, order: Order, scalars: set[str], term: Term) -> Spread:
    if isinstance(term.atom, Digits):
        return term.atom.axis if order.has_lanes(term.atom) else _SCALAR
    inner = spread_of(reader, scalars, parsed(term.atom), 0)
    if term.axis is None or inner == _SCALAR:
        return inner
    return term.axis


def spread_of(reader: Reader, scalars: set[str], node: ast.expr, depth: int) -> Spread:
    """Over which axis an expression of no digits spreads."""
    if depth > 8:
        return None
    if isinstance(node, ast.Constant):
        return _SCALAR
    if isinstance(node, ast.Name):
        if node.id in scalars:
            return _SCALAR
        value = reader.definitions.get(node.id)
        return None if value is None else spread_of(reader, scalars, value, depth + 1)
    if isinstance(node, ast.Subscript):
        return axis_of(node.slice)
    if isinstance(node, ast.UnaryOp):
        return spread_of(reader, scalars, node.operand, depth)
    if isinstance(node, ast.BinOp):
        left = spread_of(reader, scalars, node.left, depth)
        right = spread_of(reader, scalars, node.right, depth)
        if left in (_SCALAR, right):
            return right
        return left if right == _SCALAR else None
    return None


def _is_wide(reader: Reader) -> bool:
    """Whether the kernel counts in 64 bits anywhere: then the order of the sum may matter."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("int64", "uint64")
        for node in ast.walk(reader.kernel.node)
    )
