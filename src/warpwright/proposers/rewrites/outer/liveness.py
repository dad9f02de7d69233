"""Which names a kernel may still read behind a statement."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.proposers.rewrites.common.kernel_text import loaded_names, stored_names


def live_after(function: ast.FunctionDef, statement: ast.stmt) -> frozenset[str]:
    """Names that may be read after `statement` before they are assigned again; in a loop around it,
    also by the next step."""
    reader = _Reader(statement)
    reader.before(function.body, frozenset())
    return reader.behind


def read_first(body: Sequence[ast.stmt]) -> frozenset[str]:
    """Names that the statements may read before they assign them."""
    return _Reader(body[0]).before(body, frozenset())


class _Reader:
    """Goes through a body from its end. Loops twice: what a step reads at first is alive at the end
    of the step before."""

    def __init__(self, statement: ast.stmt) -> None:
        self._statement = statement
        self.behind: frozenset[str] = frozenset()

    def before(self, body: Sequence[ast.stmt], live: frozenset[str]) -> frozenset[str]:
        for statement in reversed(body):
            if statement is self._statement:
                self.behind |= live
            live = self._one(statement, live)
        return live

    def _one(self, node: ast.stmt, live: frozenset[str]) -> frozenset[str]:
        if isinstance(node, ast.If):
            ways = self.before(node.body, live) | self.before(node.orelse, live)
            return ways | frozenset(loaded_names([node.test]))
        if isinstance(node, ast.For | ast.While):
            header: ast.expr = node.iter if isinstance(node, ast.For) else node.test
            own = set(stored_names([node.target])) if isinstance(node, ast.For) else set()
            live |= self.before(node.orelse, live) | frozenset(loaded_names([header]))
            live |= self.before(node.body, live) - own
            return live | (self.before(node.body, live) - own)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            stored = frozenset(stored_names([node]))
            return (live - stored) | frozenset(loaded_names([node]))
        return live | frozenset(loaded_names([node]))
