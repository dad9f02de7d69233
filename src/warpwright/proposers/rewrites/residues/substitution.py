"""Names of a kernel put in their place, as far as that can be told."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from warpwright.program.nodes import clone, names_in
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.scalarise.flat_index import FlatIndex

OPAQUE = "opaque value "
"""How names begin that stand for what the text does not tell; no name of a program has a space."""
_MOST_NODES = 8000


class Substitution(ast.NodeTransformer):
    """Expressions in which no name of `own` stands, but those whose value is not known as opaque.

    `values` are those of `own`, and may change; `outside` those of other names to look through.
    Where a load reads is not asked, so its address is opaque.
    """

    def __init__(
        self,
        kernel: KernelText,
        own: set[str],
        values: Mapping[str, ast.expr],
        outside: Mapping[str, ast.expr],
    ) -> None:
        self._kernel, self._own = kernel, own
        self._values, self._outside = values, outside
        self._opaque = 0

    def value(self, node: ast.expr) -> ast.expr:
        found = self.visit(clone(node))
        assert isinstance(found, ast.expr)
        large = sum(1 for _ in ast.walk(found)) > _MOST_NODES
        return self.unknown() if large else found

    def unknown(self) -> ast.expr:
        """A value that equals no other."""
        self._opaque += 1
        return ast.Name(f"{OPAQUE}{self._opaque}", ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._own:
            value = self._values.get(node.id)
            return self.unknown() if value is None else value
        return self._outside.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._kernel.called(node) == "load" and node.args:
            node.args[0] = self.unknown()
        return self.generic_visit(node)


def following(kernel: KernelText, names: set[str]) -> set[str]:
    """The names whose values follow from some, directly or by others, those among them."""
    found = set(names)
    assignments = [
        (set(stored_names([node])), names_in(node))
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
    ]
    while True:
        more = {own for stored, read in assignments if read & found for own in stored} - found
        if not more:
            return found
        found |= more


def values_before(
    kernel: KernelText, indices: Sequence[FlatIndex], stop: ast.stmt
) -> dict[str, ast.expr]:
    """What follows from the indices, in names that are assigned once, when a statement of the
    kernel's own body begins. What the statement changes is left out."""
    stored = stored_names(kernel.node.body)
    starts = {index.statement: index.name for index in indices}
    follow = following(kernel, set(starts.values()))
    values: dict[str, ast.expr] = {}
    put = Substitution(kernel, follow, values, {})
    for node in kernel.node.body:
        if node is stop:
            break
        if node in starts:
            values[starts[node]] = ast.Name(starts[node], ast.Load())
            continue
        names = stored_names([node])
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = put.value(node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.Name(node.target.id, ast.Load())
            value = put.value(ast.BinOp(before, node.op, node.value))
        else:
            value = put.unknown()
        settled = all(stored.count(name) <= 1 for name in names_in(value))
        for name in follow.intersection(names):
            values[name] = value if settled and len(set(names)) == 1 else put.unknown()
    changed = set(stored_names([stop]))
    return {name: value for name, value in values.items() if name not in changed}
