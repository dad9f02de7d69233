"""How often a kernel's loops run, worked out from their bounds and a launch's arguments.

Reading only: bounds that depend on the program id are taken for block 0, bounds that depend on
loaded data are not known.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Number = int | float | bool

_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "cdiv": lambda a, b: -(-a // b),
    "minimum": min,
    "maximum": max,
    "min": min,
    "max": max,
    "program_id": lambda *_: 0,
}


@dataclass(frozen=True, slots=True)
class LoopTrips:
    """One loop: its line, how deep it is nested, how often its body runs per entry."""

    line: int
    depth: int
    trips: int | None


def loop_trips(kernel: ast.FunctionDef, values: Mapping[str, object]) -> tuple[LoopTrips, ...]:
    """Trips of each `for` loop of a kernel, in source order.

    `values` maps parameters to their values (meta-parameters included); None for a loop whose
    bounds they do not tell.
    """
    numbers = {name: v for name, v in values.items() if isinstance(v, (int, float))}
    reader = _Reader(numbers)
    reader.block(kernel.body, 0)
    return tuple(reader.loops)


def body_runs(loops: tuple[LoopTrips, ...]) -> int:
    """How often the innermost body runs: the largest product along one nest, at least 1."""
    best = 1
    open_: list[int] = []
    for loop in loops:
        del open_[loop.depth :]
        open_.append(max(loop.trips or 1, 1))
        product = 1
        for trips in open_:
            product *= trips
        best = max(best, product)
    return best


class _Reader:
    def __init__(self, numbers: Mapping[str, Number]) -> None:
        self._known: dict[str, Number] = dict(numbers)
        self.loops: list[LoopTrips] = []

    def block(self, statements: list[ast.stmt], depth: int) -> None:
        for statement in statements:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self._assign(statement.targets[0], statement.value)
            elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
                self._known.pop(statement.target.id, None)
            elif isinstance(statement, ast.For):
                self.loops.append(LoopTrips(statement.lineno, depth, self._trips(statement.iter)))
                if isinstance(statement.target, ast.Name):
                    self._known[statement.target.id] = 0
                self.block(statement.body, depth + 1)
            elif isinstance(statement, (ast.If, ast.While, ast.With)):
                inner = depth + isinstance(statement, ast.While)
                if isinstance(statement, ast.While):
                    self.loops.append(LoopTrips(statement.lineno, depth, None))
                self.block(statement.body, inner)
                self.block(getattr(statement, "orelse", []), depth)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            number = self._value(value)
            if number is None:
                self._known.pop(target.id, None)
            else:
                self._known[target.id] = number

    def _trips(self, iterated: ast.expr) -> int | None:
        if not isinstance(iterated, ast.Call) or _name(iterated.func) not in (
            "range",
            "static_range",
        ):
            return None
        bounds = [self._value(argument) for argument in iterated.args]
        if any(bound is None for bound in bounds):
            return None
        try:
            return len(range(*(int(bound) for bound in bounds if bound is not None)))
        except (TypeError, ValueError, OverflowError):
            return None

    def _value(self, node: ast.expr) -> Number | None:
        try:
            return self._evaluate(node)
        except (LookupError, TypeError, ArithmeticError, ValueError):
            return None

    def _evaluate(self, node: ast.expr) -> Number:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.Name):
            return self._known[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._evaluate(node.operand)
        if isinstance(node, ast.BinOp):
            function = _OPERATORS[type(node.op)]
            return function(self._evaluate(node.left), self._evaluate(node.right))
        if isinstance(node, ast.Call):
            return _FUNCTIONS[_name(node.func)](*(self._evaluate(a) for a in node.args))
        raise ValueError(f"{type(node).__name__} is not read")


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
