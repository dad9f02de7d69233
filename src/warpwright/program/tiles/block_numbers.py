"""Numbers of blocks in a kernel: what `tl.program_id` gives, divided and put together again."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from warpwright.program.nodes import names_in, rounded_up
from warpwright.program.tiles.kernel_names import CDIV, KernelNames


@dataclass(frozen=True, slots=True)
class NumberUses:
    """How the numbers of blocks along one axis of the grid are used beside stepping over tiles.

    `raw`: the number itself, or a remainder of it. `quotient`: the number divided.
    """

    raw: bool = False
    quotient: bool = False


class BlockNumbers:
    """`axes`: each name that holds the number of a block → the axes of the grid it comes from."""

    def __init__(self, names: KernelNames) -> None:
        self._names = names
        self.axes: dict[str, frozenset[int]] = {}
        self.axes = self._all()

    def _all(self) -> dict[str, frozenset[int]]:
        """Names that hold a number of blocks or blocks' numbers → the axes that they come from."""
        found: dict[str, frozenset[int]] = {}
        for _ in range(8):
            before = dict(found)
            for name, values in self._names.assigned.items():
                axes = [self.axes_of(value, found) for value in values]
                if values and all(a is not None for a in axes):
                    found[name] = frozenset().union(*(a for a in axes if a is not None))
            if found == before:
                break
        return {name: axes for name, axes in found.items() if axes}

    def axes_of(
        self, node: ast.expr | None, known: Mapping[str, frozenset[int]] | None = None
    ) -> frozenset[int] | None:
        """Axes of the grid in an expression of blocks' numbers and counts alone; None for another.

        Counts of blocks and plain numbers have none of them.
        """
        known = self.axes if known is None else known
        if isinstance(node, ast.Name):
            if node.id in known:
                return known[node.id]
            return frozenset() if node.id in self._names.constants or self._is_count(node) else None
        if isinstance(node, ast.Constant):
            return frozenset() if isinstance(node.value, int) else None
        if isinstance(node, ast.Call):
            path = ast.unparse(node.func)
            if path == "tl.program_id":
                return frozenset({_axis(node)})
            if path in CDIV or path == "tl.num_programs":
                return frozenset()
            if path in ("min", "tl.minimum", "max", "tl.maximum"):
                return _union(self.axes_of(a, known) for a in node.args)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
                return self.axes_of(node.func.value, known)
            return None
        if isinstance(node, ast.BinOp):
            if rounded_up(node) is not None:
                return frozenset()
            if any(
                n in self._names.constants for n in names_in(node) - known.keys()
            ) and isinstance(node.op, ast.Mult):
                sides = (node.left, node.right)
                if any(isinstance(s, ast.Name) and self._steps_by(s.id) for s in sides):
                    return None  # a multiple of a tile is an index, no number of a block
            return _union((self.axes_of(node.left, known), self.axes_of(node.right, known)))
        return None

    def _steps_by(self, name: str) -> bool:
        """Whether lanes are counted up to this constant."""
        return any(self._names.is_lanes(use) for use in self._names.uses(name))

    def _is_count(self, node: ast.Name) -> bool:
        value = self._names.single.get(node.id)
        if value is None:
            return False
        if isinstance(value, ast.Call):
            return ast.unparse(value.func) in CDIV
        if not isinstance(value, ast.BinOp):
            return False
        return rounded_up(value) is not None or (
            isinstance(value.op, ast.Mult)
            and all(self._counts(side) for side in (value.left, value.right))
        )

    def _counts(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._names.constants or self._is_count(node)
        return isinstance(node, ast.Constant)

    def other_uses(self, tiles: Collection[str]) -> dict[int, NumberUses]:
        """What else the numbers of blocks are used for, by axis."""
        found: dict[int, NumberUses] = {}
        for name, axes in self.axes.items():
            loose = [use for use in self._names.uses(name) if not self._is_inner(use, tiles)]
            if not loose:
                continue
            divided = all(_is_quotient(value) for value in self._names.assigned[name])
            for axis in axes:
                old = found.get(axis, NumberUses())
                found[axis] = NumberUses(old.raw or not divided, old.quotient or divided)
        for call in self._names.calls("tl.program_id"):
            parent = self._names.parent(call)
            named = isinstance(parent, (ast.Assign, ast.AnnAssign))
            inner = isinstance(parent, ast.BinOp) and self._factor(call, tiles)
            if not named and not inner and not self._defines_number(call):
                found[_axis(call)] = NumberUses(raw=True, quotient=True)
        return found

    def _is_inner(self, use: ast.AST, tiles: Collection[str]) -> bool:
        """A use that makes another number of a block, steps over a tile, or compares."""
        return self._factor(use, tiles) or self._defines_number(use)

    def _factor(self, use: ast.AST, tiles: Collection[str]) -> bool:
        parent = self._names.parent(use)
        if not isinstance(parent, ast.BinOp) or not isinstance(parent.op, ast.Mult):
            return False
        other = parent.right if parent.left is use else parent.left
        return isinstance(other, ast.Name) and other.id in tiles

    def _defines_number(self, use: ast.AST) -> bool:
        node = self._names.statement(use)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            return isinstance(target, ast.Name) and target.id in self.axes
        return False


def _axis(call: ast.Call) -> int:
    values = [*call.args, *(k.value for k in call.keywords)]
    axis = values[0].value if values and isinstance(values[0], ast.Constant) else None
    return axis if isinstance(axis, int) else -1


def _union(
    parts: Iterable[frozenset[int] | None],
) -> frozenset[int] | None:
    found: frozenset[int] = frozenset()
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def _is_quotient(value: ast.expr | None) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.FloorDiv)
