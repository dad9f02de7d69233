"""What many ask of syntax nodes: a copy to change, the names in one, a division rounded up."""

from __future__ import annotations

import ast
from typing import TypeVar

_Node = TypeVar("_Node", bound=ast.AST)


def clone(node: _Node) -> _Node:
    """A deep copy with the positions of the original, to be changed: what the reader holds is
    shared.

    It takes two stack frames per level of the tree. Contexts and operators, which hold nothing
    and are never changed, are shared.
    """
    copy = node.__class__.__new__(node.__class__)
    fields = copy.__dict__
    for name, value in node.__dict__.items():
        if isinstance(value, list):
            value = [clone(item) if isinstance(item, ast.AST) else item for item in value]
        elif isinstance(value, ast.AST) and value.__dict__:
            value = clone(value)
        fields[name] = value
    return copy


def names_in(node: ast.AST | None) -> frozenset[str]:
    """The names that stand in a node."""
    nodes = () if node is None else ast.walk(node)
    return frozenset(inner.id for inner in nodes if isinstance(inner, ast.Name))


def rounded_up(division: ast.BinOp) -> ast.expr | None:
    """`a` of `(a + b - 1) // b`, `(b + a - 1) // b` and `(a + (b - 1)) // b`; None for another."""
    top, divisor = division.left, ast.unparse(division.right)
    if not isinstance(division.op, ast.FloorDiv) or not isinstance(top, ast.BinOp):
        return None
    if isinstance(top.op, ast.Sub) and _is_one(top.right):
        inner = top.left
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
            for first, second in ((inner.left, inner.right), (inner.right, inner.left)):
                if ast.unparse(second) == divisor:
                    return first
    if isinstance(top.op, ast.Add):
        less = ast.BinOp(division.right, ast.Sub(), ast.Constant(1))
        return top.left if ast.unparse(top.right) == ast.unparse(less) else None
    return None


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1
