"""Nodes of a function with the conditions under which each one runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.parsing import text_of

Guards = tuple[str, ...]


def guarded_nodes(body: list[ast.stmt], guards: Guards = ()) -> Iterator[tuple[ast.AST, Guards]]:
    """Every node in the statements, nested functions and classes left out, with its guards.

    Guards are the texts of `if` conditions (`not (...)` for an else branch, and for what
    follows an `if` that returns), conditional expressions, and "except X" for a handler.
    """
    for statement in body:
        yield from _statement(statement, guards)
        if isinstance(statement, ast.If) and not statement.orelse and _returns(statement.body):
            guards = (*guards, _negated(statement.test))


def _statement(node: ast.stmt, guards: Guards) -> Iterator[tuple[ast.AST, Guards]]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    yield node, guards
    if isinstance(node, ast.If):
        yield from _expression(node.test, guards)
        yield from guarded_nodes(node.body, (*guards, text_of(node.test)))
        yield from guarded_nodes(node.orelse, (*guards, _negated(node.test)))
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ExceptHandler):
            caught = f"except {text_of(child.type)}".strip()
            yield from guarded_nodes(child.body, (*guards, caught))
        elif not isinstance(child, ast.stmt):
            yield from _expression(child, guards)
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield from guarded_nodes(block, guards)
    for case in getattr(node, "cases", []):
        yield from guarded_nodes(case.body, (*guards, f"case {text_of(case.pattern)}"))


def _expression(node: ast.AST, guards: Guards) -> Iterator[tuple[ast.AST, Guards]]:
    if isinstance(node, ast.match_case):
        return
    yield node, guards
    if isinstance(node, ast.IfExp):
        yield from _expression(node.test, guards)
        yield from _expression(node.body, (*guards, text_of(node.test)))
        yield from _expression(node.orelse, (*guards, _negated(node.test)))
        return
    for child in ast.iter_child_nodes(node):
        yield from _expression(child, guards)


def _returns(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return)


def _negated(test: ast.expr) -> str:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return text_of(test.operand)
    return f"not ({text_of(test)})"
