"""Parameters to which every call in a program gives one and the same literal.

A test of such a parameter goes one way whatever the inputs are: the other way is never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

MISSING = object()


def settled_flags(tree: ast.Module) -> dict[tuple[str, str], bool]:
    """(function, parameter) → whether what it always is counts as true.

    Only functions that are called or launched and never handed on; a parameter that is assigned to,
    and one of a function under another decorator than `jit`, which may set it, is left out.
    """
    functions: dict[str, list[ast.FunctionDef]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            functions.setdefault(node.name, []).append(node)
    calls = {id(call_of.func): call_of for call_of in _calls(tree)}
    uses = _uses(tree, calls)
    found = {}
    for name, definitions in functions.items():
        sites = uses.get(name, [])
        if len(definitions) > 1 or not sites or not all(map(_is_plain, sites)):
            continue
        if not all(ast.unparse(d).split(".")[-1] == "jit" for d in definitions[0].decorator_list):
            continue
        for parameter, value in _always(definitions[0], sites):
            found[name, parameter] = value
    return found


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _uses(tree: ast.Module, calls: dict[int, ast.Call]) -> dict[str, list[ast.Call | None]]:
    """Name → the calls and launches of it; None for each other place that reads it."""
    launched = {
        id(node.value): calls.get(id(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
    }
    found: dict[str, list[ast.Call | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.setdefault(node.id, []).append(calls.get(id(node)) or launched.get(id(node)))
    return found


def _is_plain(call: ast.Call | None) -> bool:
    if call is None:
        return False
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    return not starred and all(keyword.arg is not None for keyword in call.keywords)


def _always(function: ast.FunctionDef, calls: list[ast.Call | None]) -> Iterator[tuple[str, bool]]:
    parameters = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    defaults = function.args.defaults
    given = dict(zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True))
    assigned = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for place, name in enumerate(parameters):
        values = {
            _literal(call, place, name, given.get(name)) for call in calls if call is not None
        }
        if name not in assigned and len(values) == 1 and MISSING not in values:
            yield name, bool(values.pop())


def _literal(call: ast.Call, place: int, name: str, default: ast.expr | None) -> object:
    given = call.args[place] if place < len(call.args) else default
    given = next((keyword.value for keyword in call.keywords if keyword.arg == name), given)
    return given.value if isinstance(given, ast.Constant) else MISSING
