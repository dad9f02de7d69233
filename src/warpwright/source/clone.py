"""Copies of syntax trees, for whoever changes one: those that the reader holds are shared."""

from __future__ import annotations

import ast
from typing import TypeVar

_Node = TypeVar("_Node", bound=ast.AST)


def clone(node: _Node) -> _Node:
    """A deep copy with the positions of the original.

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
