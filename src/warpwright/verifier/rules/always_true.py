"""Whether a mask is true in every lane of every block of a launch, by bounds of its integers.

    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)        0 … grid[0]·TILE − 1
    tl.load(p + rows, mask=rows < M)                           always true where TILE divides M

Bounds are worked out, nothing is run; what has none proves nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warpwright.program.dotted_names import dotted
from warpwright.program.loop_texts import single_assignments
from warpwright.program.parsing import expression_of
from warpwright.types.config import MetaValue

_DEEPEST = 60
_SAME = frozenset(
    {"broadcast_to", "expand_dims", "multiple_of", "max_contiguous", "max_constancy", "reshape",
     "view", "cast", "to", "assume"}
)  # fmt: skip
Span = tuple[int, int]


class Unbounded(Exception):  # noqa: N818
    """No bounds can be told for an expression."""


@dataclass(slots=True)
class Bounds:
    """Bounds of a kernel's integers in one launch: `values` of its arguments, `grid` of blocks."""

    node: ast.FunctionDef | None
    values: Mapping[str, MetaValue]
    grid: Sequence[int]
    _assigned: Mapping[str, ast.expr] = field(init=False)
    _loops: Mapping[str, ast.For] = field(init=False)
    _depth: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.node is None:  # no local names
            self._assigned, self._loops = {}, {}
            return
        self._assigned = single_assignments(self.node)
        names = [n for n in ast.walk(self.node) if isinstance(n, ast.Name)]
        stored = [name.id for name in names if isinstance(name.ctx, ast.Store)]
        self._loops = {
            loop.target.id: loop
            for loop in ast.walk(self.node)
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and stored.count(loop.target.id) == 1
        }

    def holds(self, mask: ast.expr) -> bool:
        """Whether the mask is true in every lane. False: it is not, or cannot be told."""
        try:
            return self._is_true(mask)
        except (Unbounded, RecursionError):
            return False

    def _is_true(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return node.value is True
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            return self._is_true(node.left) and self._is_true(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self.holds(node.left) or self.holds(node.right)
        if isinstance(node, ast.BoolOp):
            if isinstance(node.op, ast.And):
                return all(map(self._is_true, node.values))
            return any(map(self.holds, node.values))
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return _compared(self.span(node.left), node.ops[0], self.span(node.comparators[0]))
        inner = _inside(node)
        if inner is None and isinstance(node, ast.Name):
            inner = self._assigned.get(node.id)
        if inner is None:
            raise Unbounded(ast.unparse(node))
        return self._is_true(inner)

    def span(self, node: ast.expr) -> Span:
        """The least and the largest value. Raises Unbounded."""
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise Unbounded("too deep")
            return self._span(node)
        finally:
            self._depth -= 1

    def _span(self, node: ast.expr) -> Span:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value, node.value
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.BinOp):
            return _combined(self.span(node.left), node.op, self.span(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            low, high = self.span(node.operand)
            return -high, -low
        if isinstance(node, ast.Call):
            known = self._called(node)
            if known is not None:
                return known
        inner = _inside(node)
        if inner is None:
            raise Unbounded(ast.unparse(node))
        return self.span(inner)

    def _named(self, name: str) -> Span:
        value = self.values.get(name)
        if type(value) is int and name not in self._assigned and name not in self._loops:
            return value, value
        if name in self._loops:
            return self._looped(self._loops[name])
        if name in self._assigned:
            return self.span(self._assigned[name])
        raise Unbounded(name)

    def _looped(self, loop: ast.For) -> Span:
        """`for k in range(start, stop, step)`: up to the last that is run."""
        call = loop.iter
        if not isinstance(call, ast.Call) or not 1 <= len(call.args) <= 3:
            raise Unbounded("loop")
        if (dotted(call.func) or "").split(".")[-1] not in ("range", "static_range"):
            raise Unbounded("loop")
        spans = [self.span(argument) for argument in call.args]
        start, stop = ((0, 0), spans[0]) if len(spans) == 1 else (spans[0], spans[1])
        step = spans[2] if len(spans) == 3 else (1, 1)
        if step[0] != step[1] or step[0] <= 0:
            raise Unbounded("step")
        last = stop[1] - 1
        if start[0] == start[1]:
            last = start[0] + max(0, stop[1] - start[0] - 1) // step[0] * step[0]
        return start[0], max(start[1], last)

    def _called(self, call: ast.Call) -> Span | None:
        name = (dotted(call.func) or "").split(".")[-1]
        if name == "program_id":
            axis = call.args[0] if call.args else call.keywords[0].value
            low, high = self.span(axis)
            if low != high or not 0 <= low < 3:
                raise Unbounded("axis")
            return 0, (self.grid[low] if low < len(self.grid) else 1) - 1
        if name == "arange" and len(call.args) == 2:
            return self.span(call.args[0])[0], self.span(call.args[1])[1] - 1
        if name == "cdiv" and len(call.args) == 2:
            over, by = self.span(call.args[0]), self.span(call.args[1])
            if by[0] != by[1] or by[0] <= 0 or over[0] < 0:
                raise Unbounded("cdiv")
            return -(-over[0] // by[0]), -(-over[1] // by[0])
        if name in ("min", "minimum", "max", "maximum") and len(call.args) == 2:
            one, other = self.span(call.args[0]), self.span(call.args[1])
            pick = min if name.startswith("min") else max
            return pick(one[0], other[0]), pick(one[1], other[1])
        return None


def span_of(text: str, values: Mapping[str, MetaValue]) -> Span:
    """Bounds of an expression over arguments alone. Raises Unbounded."""
    node = expression_of(text)
    if node is None:
        raise Unbounded(text)
    return Bounds(None, values, ()).span(node)


def _inside(node: ast.expr) -> ast.expr | None:
    """What a broadcast, a cast or a hint to the compiler wraps."""
    if isinstance(node, ast.Subscript):
        return node.value
    if isinstance(node, ast.Call):
        name = (dotted(node.func) or str(getattr(node.func, "attr", ""))).split(".")[-1]
        if name not in _SAME:
            return None
        if isinstance(node.func, ast.Attribute) and dotted(node.func.value) not in (
            "tl",
            "triton.language",
        ):
            return node.func.value
        return node.args[0] if node.args else None
    return None


def _combined(one: Span, operator: ast.operator, other: Span) -> Span:
    if isinstance(operator, ast.Add):
        return one[0] + other[0], one[1] + other[1]
    if isinstance(operator, ast.Sub):
        return one[0] - other[1], one[1] - other[0]
    if isinstance(operator, ast.Mult):
        products = [a * b for a in one for b in other]
        return min(products), max(products)
    # Triton's // and % round towards zero: without negative numbers that is no matter.
    if other[0] != other[1] or other[0] <= 0 or one[0] < 0:
        raise Unbounded("division")
    divisor = other[0]
    if isinstance(operator, ast.FloorDiv):
        return one[0] // divisor, one[1] // divisor
    if isinstance(operator, ast.Mod):
        if one[0] // divisor == one[1] // divisor:
            return one[0] % divisor, one[1] % divisor
        return 0, min(divisor - 1, one[1])
    raise Unbounded(type(operator).__name__)


def _compared(one: Span, operator: ast.cmpop, other: Span) -> bool:
    if isinstance(operator, ast.Lt):
        return one[1] < other[0]
    if isinstance(operator, ast.LtE):
        return one[1] <= other[0]
    if isinstance(operator, ast.Gt):
        return one[0] > other[1]
    if isinstance(operator, ast.GtE):
        return one[0] >= other[1]
    raise Unbounded(type(operator).__name__)
