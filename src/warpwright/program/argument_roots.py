"""What the names in a function's expressions come from, as far as plain assignments tell.

`BLOCK = triton.next_power_of_2(x.shape[1])` comes from `x.shape[1]`, `tiles = tl.cdiv(K, 64)` from
`K`. A name that is unpacked (`M, K = a.shape`), that a parameter gives, or that is loaded data
comes from itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from warpwright.program.parsing import text_of

Assigned = Mapping[str, tuple[ast.expr, ...]]
_MODULES = frozenset({"triton", "tl", "torch", "math"})
_DEEPEST = 8


def function_around(tree: ast.AST, line: int) -> ast.FunctionDef | None:
    """The innermost function that holds a line (1-based)."""
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, key=lambda node: node.lineno, default=None)


def assignments_in(function: ast.FunctionDef) -> dict[str, tuple[ast.expr, ...]]:
    """Name → everything that is assigned to it alone."""
    found: dict[str, tuple[ast.expr, ...]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = (*found.get(target.id, ()), node.value)
    return found


def roots(expressions: Iterable[ast.expr], assigned: Assigned) -> frozenset[str]:
    """Names, and texts such as `x.shape[1]`, that expressions come from."""
    found: set[str] = set()
    for expression in expressions:
        _collect(expression, assigned, found, frozenset())
    return frozenset(found)


def _collect(node: ast.AST, assigned: Assigned, found: set[str], above: frozenset[str]) -> None:
    if isinstance(node, ast.Call):
        if _is_loaded(node):
            return
        method = node.func
        if isinstance(method, ast.Attribute) and not _of_module(method):
            found.add(text_of(node))  # x.size(0)
            return
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            _collect(argument, assigned, found, above)
    elif isinstance(node, ast.Attribute | ast.Subscript):
        if not _of_module(node):
            found.add(text_of(node))
    elif isinstance(node, ast.Name):
        values = () if node.id in above or len(above) > _DEEPEST else assigned.get(node.id, ())
        if not values:
            found.add(node.id)
        for value in values:
            _collect(value, assigned, found, above | {node.id})
    else:
        for child in ast.iter_child_nodes(node):
            _collect(child, assigned, found, above)


def _is_loaded(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("load", "program_id")


def _of_module(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name) and node.id in _MODULES
