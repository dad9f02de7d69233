"""How often a kernel's loops run, worked out from their bounds and a launch's arguments.

Reading only: bounds that depend on the program id are taken for block 0, bounds that depend on
loaded data are not known.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from warpwright.program.evaluate import Evaluator, Unreadable
from warpwright.program.resolve import Aliases

_FUNCTIONS: dict[str, Callable[..., object]] = {
    "cdiv": lambda a, b: -(-a // b),
    "minimum": min,
    "maximum": max,
    "program_id": lambda *_: 0,
}
_NO_IMPORTS = Aliases(ast.Module([], []))  # functions go by their last name, whatever the module


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
    def __init__(self, numbers: Mapping[str, int | float]) -> None:
        self._known: dict[str, ast.expr] = {n: ast.Constant(v) for n, v in numbers.items()}
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
                    self._known[statement.target.id] = ast.Constant(0)
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
                self._known[target.id] = ast.Constant(number)

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

    def _value(self, node: ast.expr) -> int | float | None:
        try:
            value = Evaluator(_NO_IMPORTS, self._known, _called).value(node)
        except Unreadable:
            return None
        return value if isinstance(value, (int, float)) else None


def _called(call: ast.Call, evaluator: Evaluator) -> object:
    function = _FUNCTIONS.get(_name(call.func))
    if function is None:
        raise Unreadable("another function")
    return function(*(evaluator.value(argument) for argument in call.args))


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
