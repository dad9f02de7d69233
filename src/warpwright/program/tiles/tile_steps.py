"""Loops over tiles: by index, by count, by `while`, and pointers that they move on."""

from __future__ import annotations

import ast

from warpwright.program.loop_texts import inlined
from warpwright.program.nodes import names_in, rounded_up
from warpwright.program.tiles.kernel_names import CDIV, KernelNames

RANGES = ("range", "tl.range", "tl.static_range")


class TileSteps:
    """What the loops of a kernel step over."""

    def __init__(self, names: KernelNames) -> None:
        self._names = names

    def loops(self) -> list[ast.For | ast.While]:
        return [n for n in ast.walk(self._names.node) if isinstance(n, (ast.For, ast.While))]

    def is_step(self, use: ast.AST) -> bool:
        call = self._names.parent(use)
        return (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) in RANGES
            and len(call.args) == 3
            and call.args[2] is use
        )

    def steps(self, loop: ast.For | ast.While, name: str) -> bool:
        """Whether a loop runs from 0 over tiles of this size: by index, by count or by `while`."""
        if isinstance(loop, ast.While):
            return self._while_counter(loop, name) is not None
        call = loop.iter
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in RANGES:
            return False
        if len(call.args) == 3:
            step = call.args[2]
            return isinstance(step, ast.Name) and step.id == name
        return _starts_at_zero(call) and self._is_count_of(call.args[-1], name)

    def _is_count_of(self, node: ast.expr, name: str) -> bool:
        value = inlined(node, self._names.single)
        if isinstance(value, ast.Call) and ast.unparse(value.func) in CDIV:
            divisor: ast.expr = value.args[-1]
        elif isinstance(value, ast.BinOp) and rounded_up(value) is not None:
            divisor = value.right
        else:
            return False
        return isinstance(divisor, ast.Name) and divisor.id == name

    def _while_counter(self, loop: ast.While, name: str) -> str | None:
        test = loop.test
        if not (
            isinstance(test, ast.Compare)
            and len(test.ops) == 1
            and isinstance(test.ops[0], ast.Lt)
            and isinstance(test.left, ast.Name)
        ):
            return None
        for inner in ast.walk(loop):
            if (
                isinstance(inner, ast.AugAssign)
                and isinstance(inner.op, ast.Add)
                and isinstance(inner.target, ast.Name)
                and inner.target.id == test.left.id
                and isinstance(inner.value, ast.Name)
                and inner.value.id == name
            ):
                return test.left.id
        return None

    def counters_of_tiles(self, name: str) -> set[str]:
        """Variables that count tiles of this size: `for k in range(tl.cdiv(K, B))`."""
        return {
            loop.target.id
            for loop in self.loops()
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and isinstance(loop.iter, ast.Call)
            and len(loop.iter.args) < 3
            and self.steps(loop, name)
        }

    def multiples(self, name: str) -> set[str]:
        """Names that are a multiple of the tile: indices of loops over it, `pid * B` and such."""
        found = {
            loop.target.id
            for loop in self.loops()
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and isinstance(loop.iter, ast.Call)
            and len(loop.iter.args) == 3
            and self.steps(loop, name)
        }
        whiles = (self._while_counter(w, name) for w in self.loops() if isinstance(w, ast.While))
        found |= {counter for counter in whiles if counter is not None}
        for assigned, values in self._names.assigned.items():
            if values and all(v is not None and self.is_multiple(v, name) for v in values):
                found.add(assigned)
        return found

    def is_multiple(self, node: ast.expr, name: str) -> bool:
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mult)
            and any(isinstance(s, ast.Name) and s.id == name for s in (node.left, node.right))
        )

    def is_advance(self, use: ast.AST, name: str) -> bool:
        """In `pointers += B * stride` of a loop over tiles of this size."""
        node: ast.AST | None = use
        while node is not None and not isinstance(node, ast.stmt):
            if not isinstance(node, (ast.BinOp, ast.Name)):
                return False
            node = self._names.parent(node)
        statement = node
        loop = self._names.parent(node) if node is not None else None
        if not isinstance(loop, (ast.For, ast.While)) or not self.steps(loop, name):
            return False
        if isinstance(statement, ast.AugAssign):
            return isinstance(statement.op, ast.Add) and _one_product(statement.value, name)
        return (
            isinstance(statement, ast.Assign)
            and isinstance(statement.value, ast.BinOp)
            and isinstance(statement.value.op, ast.Add)
            and isinstance(statement.value.left, ast.Name)
            and isinstance(statement.targets[0], ast.Name)
            and statement.value.left.id == statement.targets[0].id
            and _one_product(statement.value.right, name)
        )

    def advanced(self, name: str) -> set[str]:
        """Pointers (and indices) that a loop over tiles moves on by one tile."""
        found = set()
        for use in self._names.uses(name):
            node: ast.AST | None = use
            while node is not None and not isinstance(node, ast.stmt):
                node = self._names.parent(node)
            if self.is_advance(use, name):
                if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id)
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    found.add(node.targets[0].id)
        return found


def _starts_at_zero(call: ast.Call) -> bool:
    first = call.args[0]
    return len(call.args) == 1 or (isinstance(first, ast.Constant) and first.value == 0)


def _one_product(value: ast.expr, name: str) -> bool:
    """`B`, `B * stride`, `stride * B`: the tile once, and nothing added."""
    if isinstance(value, ast.BinOp):
        if not isinstance(value.op, ast.Mult):
            return False
        sides = [value.left, value.right]
        return sum(name in names_in(side) for side in sides) == 1 and all(
            name not in names_in(side) or _one_product(side, name) for side in sides
        )
    return isinstance(value, ast.Name) and value.id == name
