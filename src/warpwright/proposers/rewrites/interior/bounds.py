"""Between which numbers an index of a block lies, for all its lanes and all steps of its loops.

Ends are source: an index is a sum of parts that do not change, of lanes and of loop variables.
The least of `lows` is a lower bound, the greatest of `highs` an upper one: a product with a size of
unknown sign has both ends on either side.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

_MOST_ENDS = 4
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True, slots=True)
class IndexBounds:
    lows: tuple[ast.expr, ...]
    highs: tuple[ast.expr, ...]

    @property
    def is_one_number(self) -> bool:
        return len(self.lows) == 1 and [*map(ast.dump, self.lows)] == [*map(ast.dump, self.highs)]


def one(node: ast.expr) -> IndexBounds:
    """A number that neither lanes nor steps change."""
    return IndexBounds((node,), (node,))


def between(low: ast.expr, high: ast.expr) -> IndexBounds:
    return IndexBounds((low,), (high,))


def combined(operator: ast.operator, left: IndexBounds, right: IndexBounds) -> IndexBounds | None:
    """The bounds of a sum, a difference, or a product or quotient with one number; else None."""
    found: IndexBounds | None = None
    if left.is_one_number and right.is_one_number:
        found = one(simple(ast.BinOp(left.lows[0], operator, right.lows[0])))
    elif isinstance(operator, ast.Add):
        found = IndexBounds(
            _each(left.lows, operator, right.lows), _each(left.highs, operator, right.highs)
        )
    elif isinstance(operator, ast.Sub):
        found = IndexBounds(
            _each(left.lows, operator, right.highs), _each(left.highs, operator, right.lows)
        )
    elif isinstance(operator, ast.Mult) and (left.is_one_number or right.is_one_number):
        if left.is_one_number:
            left, right = right, left
        found = _scaled(operator, left, right.lows[0])
    elif isinstance(operator, ast.FloorDiv) and right.is_one_number:
        found = _scaled(operator, left, right.lows[0])
    if found is None or max(len(found.lows), len(found.highs)) > _MOST_ENDS:
        return None
    return found


def _each(
    left: Sequence[ast.expr], operator: ast.operator, right: Sequence[ast.expr]
) -> tuple[ast.expr, ...]:
    pairs = product(left, right)
    return _different(simple(ast.BinOp(one, operator, other)) for one, other in pairs)


def _scaled(operator: ast.operator, bounds: IndexBounds, by: ast.expr) -> IndexBounds:
    """Both ends times a number, or divided by it (Triton rounds to zero: no order is turned)."""
    lows, highs = _each(bounds.lows, operator, (by,)), _each(bounds.highs, operator, (by,))
    if isinstance(by, ast.Constant) and type(by.value) is int and by.value > 0:
        return IndexBounds(lows, highs)
    both = _different((*lows, *highs))
    return IndexBounds(both, both)


def _different(nodes: Iterable[ast.expr]) -> tuple[ast.expr, ...]:
    return tuple({ast.dump(node): node for node in nodes}.values())


def simple(node: ast.BinOp) -> ast.expr:
    """A sum or product without what adds nothing, numbers worked out."""
    left, right = node.left, node.right
    a, b = _number(left), _number(right)
    if isinstance(node.op, ast.Add | ast.Sub) and b == 0:
        return left
    if isinstance(node.op, ast.Add) and a == 0:
        return right
    if isinstance(node.op, ast.Mult) and 0 in (a, b):
        return ast.Constant(0)
    if isinstance(node.op, ast.Mult) and 1 in (a, b):
        return right if a == 1 else left
    if a is not None and b is not None and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        values = {ast.Add: a + b, ast.Sub: a - b, ast.Mult: a * b}
        return ast.Constant(values[type(node.op)])
    return node


def _number(node: ast.expr) -> int | None:
    number = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if number else None  # type: ignore[attr-defined]


def conditions(node: ast.Compare, left: IndexBounds, right: IndexBounds) -> list[str] | None:
    """What must hold for a comparison to hold everywhere; None for one that is no order."""
    if len(node.ops) != 1 or not isinstance(node.ops[0], _ORDER):
        return None
    operator = node.ops[0]
    below = isinstance(operator, ast.Lt | ast.LtE)
    pairs = product(*((left.highs, right.lows) if below else (left.lows, right.highs)))
    return [ast.unparse(ast.Compare(one, [operator], [other])) for one, other in pairs]


def last_step(start: ast.expr, stop: ast.expr, step: ast.expr | None) -> ast.expr:
    """The last value of a loop variable, where the loop has a step."""
    if step is None:
        return simple(ast.BinOp(stop, ast.Sub(), ast.Constant(1)))
    length = simple(ast.BinOp(stop, ast.Sub(), start))
    whole = ast.BinOp(simple(ast.BinOp(length, ast.Sub(), ast.Constant(1))), ast.FloorDiv(), step)
    return simple(ast.BinOp(start, ast.Add(), ast.BinOp(whole, ast.Mult(), step)))
