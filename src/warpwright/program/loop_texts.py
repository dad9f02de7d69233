"""How often the loops of a kernel run, as text that can be compared.

`range(0, K, B)`, `range(cdiv(K, B))` and `while k < K` with `k += B` run equally often and
give one text; local names that are assigned once are put in their place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warpwright.program.dotted_names import dotted
from warpwright.program.nodes import clone, names_in, rounded_up

_DEEPEST = 40
_MOST_NAMES = 400  # names put in their place in one expression; more is no readable bound


@dataclass(frozen=True, slots=True)
class TripCount:
    """How often a loop runs, as text; None where it cannot be read. `names`: what it uses."""

    text: str | None
    names: frozenset[str]
    line: int
    written: str


def single_assignments(node: ast.FunctionDef) -> dict[str, ast.expr]:
    """Names assigned exactly once in the body, with what they are assigned."""
    values: dict[str, list[ast.expr | None]] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(inner.value)
                else:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                            values.setdefault(part.id, []).append(None)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            values.setdefault(inner.target.id, []).append(inner.value)
        elif isinstance(inner, (ast.AugAssign, ast.For)) and isinstance(inner.target, ast.Name):
            values.setdefault(inner.target.id, []).append(None)
    return {
        name: found[0] for name, found in values.items() if len(found) == 1 and found[0] is not None
    }


class _Inline(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self.names = names
        self.open: list[str] = []
        self.budget = _MOST_NAMES

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.names.get(node.id)
        self.budget -= 1
        if value is None or node.id in self.open or len(self.open) > _DEEPEST or self.budget < 0:
            return node
        self.open.append(node.id)
        result = self.visit(clone(value))
        self.open.pop()
        return result  # type: ignore[no-any-return]


def inlined(node: ast.expr, names: Mapping[str, ast.expr]) -> ast.expr:
    """The expression with names that are assigned once put in their place."""
    result = _Inline(names).visit(clone(node))
    assert isinstance(result, ast.expr)
    return result


def trip_counts(node: ast.FunctionDef, names: Mapping[str, ast.expr]) -> Iterator[TripCount]:
    """The loops of a kernel in order of lines. `names`: see `single_assignments`."""
    loops = [inner for inner in ast.walk(node) if isinstance(inner, (ast.For, ast.While))]
    for loop in sorted(loops, key=lambda inner: (inner.lineno, inner.col_offset)):
        if isinstance(loop, ast.For):
            yield _range_trip(loop, names)
        else:
            yield _while_trip(loop, node, names)


def _range_trip(loop: ast.For, names: Mapping[str, ast.expr]) -> TripCount:
    written = ast.unparse(loop.iter)
    call = loop.iter
    if not isinstance(call, ast.Call) or not 1 <= len(call.args) <= 3:
        return TripCount(None, frozenset(), loop.lineno, written)
    values = [inlined(argument, names) for argument in call.args]
    start: ast.expr = ast.Constant(0)
    step: ast.expr = ast.Constant(1)
    if len(values) == 1:
        stop = values[0]
    else:
        start, stop = values[0], values[1]
        step = values[2] if len(values) == 3 else step
    return _trip(start, stop, step, loop.lineno, written)


def _while_trip(loop: ast.While, node: ast.FunctionDef, names: Mapping[str, ast.expr]) -> TripCount:
    """`while k < K:` with `k = 0` before it and one `k += s` in it, as a range."""
    written = ast.unparse(loop.test)
    unreadable = TripCount(None, names_in(inlined(loop.test, names)), loop.lineno, written)
    test = loop.test
    if (
        not isinstance(test, ast.Compare)
        or len(test.ops) != 1
        or not isinstance(test.ops[0], ast.Lt)
        or not isinstance(test.left, ast.Name)
    ):
        return unreadable
    counter = test.left.id
    steps = [
        inner.value
        for inner in ast.walk(loop)
        if isinstance(inner, ast.AugAssign)
        and isinstance(inner.op, ast.Add)
        and isinstance(inner.target, ast.Name)
        and inner.target.id == counter
    ]
    starts = [
        inner.value
        for inner in ast.walk(node)
        if isinstance(inner, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == counter for target in inner.targets)
    ]
    if len(steps) != 1 or len({ast.unparse(start) for start in starts}) != 1:
        return unreadable
    start = inlined(starts[0], names)
    stop, step = inlined(test.comparators[0], names), inlined(steps[0], names)
    return _trip(start, stop, step, loop.lineno, written)


def _trip(start: ast.expr, stop: ast.expr, step: ast.expr, line: int, written: str) -> TripCount:
    names = names_in(start) | names_in(stop) | names_in(step)
    length = ast.unparse(stop)
    if ast.unparse(start) != "0":
        length = f"{length} - ({ast.unparse(start)})"
    step_text = ast.unparse(step)
    if step_text != "1":
        return TripCount(f"cdiv({length}, {step_text})", names, line, written)
    return TripCount(
        _cdiv_text(stop) if length == ast.unparse(stop) else length, names, line, written
    )


def _cdiv_text(node: ast.expr) -> str:
    """`tl.cdiv(a, b)` and `(a + b - 1) // b` as `cdiv(a, b)`."""
    if isinstance(node, ast.Call) and len(node.args) == 2:
        name = (dotted(node.func) or "").split(".")[-1]
        if name == "cdiv":
            return f"cdiv({ast.unparse(node.args[0])}, {ast.unparse(node.args[1])})"
    whole = rounded_up(node) if isinstance(node, ast.BinOp) else None
    if isinstance(node, ast.BinOp) and whole is not None:
        return f"cdiv({ast.unparse(whole)}, {ast.unparse(node.right)})"
    return ast.unparse(node)
