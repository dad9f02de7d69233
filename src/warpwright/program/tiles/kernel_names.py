"""The names of a kernel: its constants, what is assigned to each, and where it is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.loop_texts import single_assignments

CDIV = ("tl.cdiv", "triton.cdiv", "cdiv")


class KernelNames:
    """A kernel in the plain spelling. `single`: names that are assigned once, with the value;
    `assigned`: everything that is assigned to each, None for what is no plain expression."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.single = single_assignments(node)
        self._parents = {id(c): p for p in ast.walk(node) for c in ast.iter_child_nodes(p)}
        self.constants = [
            a.arg
            for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if a.annotation is not None and ast.unparse(a.annotation).endswith("constexpr")
        ]
        self.assigned = _assignments(node)

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around another."""
        return self._parents.get(id(node))

    def statement(self, node: ast.AST | None) -> ast.stmt | None:
        """The statement that an expression stands in."""
        while node is not None and not isinstance(node, ast.stmt):
            node = self.parent(node)
        return node

    def uses(self, name: str) -> list[ast.Name]:
        """Where a name is read."""
        return [
            n
            for statement in self.node.body
            for n in ast.walk(statement)
            if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
        ]

    def calls(self, path: str) -> Iterator[ast.Call]:
        """Calls of a built-in: `tl.program_id`."""
        for n in ast.walk(self.node):
            if isinstance(n, ast.Call) and ast.unparse(n.func) == path:
                yield n

    def is_lanes(self, use: ast.AST) -> bool:
        """Whether a name is read as the end of `tl.arange(0, name)`."""
        call = self.parent(use)
        return (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) == "tl.arange"
            and len(call.args) == 2
            and call.args[1] is use
            and isinstance(call.args[0], ast.Constant)
            and call.args[0].value == 0
        )


def _assignments(node: ast.FunctionDef) -> dict[str, list[ast.expr | None]]:
    """Everything that each name is assigned; None for a value that is no plain expression."""
    found: dict[str, list[ast.expr | None]] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(inner.value)
                else:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                            found.setdefault(part.id, []).append(None)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            found.setdefault(inner.target.id, []).append(inner.value)
        elif isinstance(inner, (ast.AugAssign, ast.For)) and isinstance(inner.target, ast.Name):
            found.setdefault(inner.target.id, []).append(None)
    return found
