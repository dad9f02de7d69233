"""Loop nests that add up outer products, read off a kernel."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

RANGES = ("range", "static_range")


@dataclass(frozen=True, slots=True)
class NestLoop:
    """One loop of a nest: `for variable in range(0, extent)`."""

    variable: str
    extent: ast.expr


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops from the outermost in, the assignments between them in order, and the sum.

    `accumulator += left * right`, the two operands as they stand there.
    """

    statement: ast.For
    loops: tuple[NestLoop, ...]
    assignments: tuple[ast.Assign, ...]
    accumulator: str
    left: ast.expr
    right: ast.expr

    @property
    def line(self) -> int:
        return self.statement.lineno

    def extent(self, variable: str) -> str:
        """The extent of a loop as source text."""
        return next(ast.unparse(loop.extent) for loop in self.loops if loop.variable == variable)

    def extent_value(self, variable: str, known: Mapping[str, int]) -> int | None:
        """The extent as a number, where it is one or a known argument."""
        extent = next(loop.extent for loop in self.loops if loop.variable == variable)
        if isinstance(extent, ast.Constant) and isinstance(extent.value, int):
            return extent.value
        return known.get(extent.id) if isinstance(extent, ast.Name) else None


def nests_of(function: ast.FunctionDef) -> list[Nest]:
    """Every nest of the function, in source order."""
    return list(_nests(function.body))


def _nests(body: list[ast.stmt]) -> Iterator[Nest]:
    for statement in body:
        if isinstance(statement, ast.For):
            nest = _nest(statement)
            if nest is not None:
                yield nest
        elif isinstance(statement, ast.If):
            yield from _nests(statement.body)
            yield from _nests(statement.orelse)


def _nest(outermost: ast.For) -> Nest | None:
    loops: list[NestLoop] = []
    assignments: list[ast.Assign] = []
    statement: ast.stmt = outermost
    while isinstance(statement, ast.For):
        extent = _extent(statement)
        if extent is None or not isinstance(statement.target, ast.Name) or statement.orelse:
            return None
        loops.append(NestLoop(statement.target.id, extent))
        *before, last = statement.body
        for assignment in before:
            if not _is_plain(assignment):
                return None
            assert isinstance(assignment, ast.Assign)
            assignments.append(assignment)
        statement = last
    found = _product(statement)
    if found is None or not _single(loops, assignments, found[0]):
        return None
    return Nest(outermost, tuple(loops), tuple(assignments), *found)


def _extent(loop: ast.For) -> ast.expr | None:
    """The extent of a loop from 0 in steps of 1; None for any other loop."""
    call = loop.iter
    if not isinstance(call, ast.Call) or call.keywords:
        return None
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    arguments = list(call.args)
    if name not in RANGES or not arguments:
        return None
    if len(arguments) == 3 and _is_number(arguments.pop(), 1) is False:
        return None
    if len(arguments) == 2 and not _is_number(arguments.pop(0), 0):
        return None
    return arguments[0]


def _is_number(node: ast.expr, value: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_plain(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    )


def _product(statement: ast.stmt) -> tuple[str, ast.expr, ast.expr] | None:
    """`acc += a * b` or `acc = acc + a * b`."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        target: ast.expr = statement.target
        value = statement.value
    elif (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.value, ast.BinOp)
        and isinstance(statement.value.op, ast.Add)
        and ast.unparse(statement.value.left) == ast.unparse(statement.targets[0])
    ):
        target, value = statement.targets[0], statement.value.right
    else:
        return None
    if not isinstance(target, ast.Name):
        return None
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Mult):
        return None
    return target.id, value.left, value.right


def _single(loops: list[NestLoop], assignments: list[ast.Assign], accumulator: str) -> bool:
    """Every name is assigned once, before it is read, and the sum is read nowhere else: nothing is
    carried from one step to the next but the sum."""
    targets = [node.id for a in assignments for node in a.targets if isinstance(node, ast.Name)]
    variables = [loop.variable for loop in loops]
    own = {*targets, *variables, accumulator}
    if len(own) != len(targets) + len(variables) + 1:
        return False
    done = {*variables}
    for assignment, target in zip(assignments, targets, strict=True):
        read = {node.id for node in ast.walk(assignment.value) if isinstance(node, ast.Name)}
        if (read & own) - done:
            return False
        done.add(target)
    bounds = {
        node.id for loop in loops for node in ast.walk(loop.extent) if isinstance(node, ast.Name)
    }
    return not bounds & own
