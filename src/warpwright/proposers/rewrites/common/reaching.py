"""Which assignment a name's value comes from, at a statement of a kernel.

A name may be assigned at several places (`rem` again and again, `x` in each of two loops). What is
read at one statement is settled where one assignment alone can reach it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a name gets its value: `value` in `statement`; both None for a parameter, for a name of
    the module, and for the variable of a loop (with the loop's place)."""

    place: Place
    statement: ast.stmt | None = None
    value: ast.expr | None = None


OUTSIDE: Place = (0, 0)


class Reaching:
    """The definitions of a kernel's names."""

    def __init__(self, kernel: KernelText) -> None:
        self._stored = set(stored_names(kernel.node.body))
        self._around: dict[ast.stmt, tuple[Sequence[ast.stmt], ast.stmt | None]] = {}
        self._enter(kernel.node.body, None)

    def _enter(self, body: Sequence[ast.stmt], parent: ast.stmt | None) -> None:
        for node in body:
            self._around[node] = (body, parent)
            for block in _blocks(node):
                self._enter(block, node)

    def definition(self, name: str, statement: ast.stmt) -> Definition | None:
        """What the name is when the statement begins; None where that is not settled."""
        if name not in self._stored:
            return Definition(OUTSIDE)
        node: ast.stmt | None = statement
        while node is not None:
            body, parent = self._around[node]
            for before in reversed(body[: _index(body, node)]):
                if name in stored_names([before]):
                    return _assigned(name, before)
            if isinstance(parent, ast.For | ast.While):
                if isinstance(parent, ast.For) and name in stored_names([parent.target]):
                    again = name in stored_names(parent.body)
                    return None if again else Definition((parent.lineno, parent.col_offset))
                if name in stored_names(parent.body):
                    return None  # what a step before left
            node = parent
        return None  # a parameter that is assigned further down

    def same(self, node: ast.AST, here: ast.stmt, there: ast.stmt) -> bool:
        """Whether all names of an expression have one value at both statements."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                pair = self.definition(inner.id, here), self.definition(inner.id, there)
                if pair[0] is None or pair[1] is None or pair[0].place != pair[1].place:
                    return False
        return True


def _assigned(name: str, node: ast.stmt) -> Definition | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == name:
            return Definition((node.lineno, node.col_offset), node, node.value)
    return None


def _index(body: Sequence[ast.stmt], node: ast.stmt) -> int:
    return next(place for place, one in enumerate(body) if one is node)


def _blocks(node: ast.stmt) -> Iterator[Sequence[ast.stmt]]:
    for field in ("body", "orelse"):
        block = getattr(node, field, None)
        if isinstance(block, list) and block:
            yield block
