"""What names stand for at one statement of a kernel.

Only names that have one value there are looked through: assigned once, before the statement and in
a block around it, from names that are settled in the same way where they are read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.value_axes import HINTS, Shape, shape_of, shapes_before
from warpwright.proposers.rewrites.digits.extent import Extent
from warpwright.proposers.rewrites.digits.read_digits import Axis, axis_of

_TIMELESS = frozenset({
    *HINTS, "program_id", "num_programs", "arange", "cdiv", "minimum", "maximum", "where",
    "min", "max", "range", "static_range",
})  # fmt: skip


class Values:
    """The values of names at one statement of a kernel."""

    def __init__(self, kernel: KernelText, statement: ast.stmt, operand: str) -> None:
        self.kernel = kernel
        self.operand = operand
        self.shapes = shapes_before(kernel.node, statement)
        self.definitions: dict[str, ast.expr] = {}
        self.loops: dict[str, ast.For] = {}
        self.parameters = {parameter.arg for parameter in kernel.parameters}
        stored = stored_names(kernel.node.body)
        self.parameters -= set(stored)
        for around in _before(kernel.node.body, statement):
            name = _assigned(around)
            if name is None or stored.count(name) != 1 or name in self._arguments():
                continue
            read = around.iter if isinstance(around, ast.For) else _value(around)
            if read is None or not self._is_settled(read, set(stored)):
                continue
            if isinstance(around, ast.For):
                self.loops[name] = around
            else:
                self.definitions[name] = read

    def _arguments(self) -> set[str]:
        return {parameter.arg for parameter in self.kernel.parameters}

    def _is_settled(self, node: ast.expr, stored: set[str]) -> bool:
        known = self.definitions.keys() | self.loops.keys()
        return all(
            inner.id in known or inner.id not in stored
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name)
        )

    def is_scalar(self, node: ast.expr) -> bool:
        return shape_of(node, self.shapes) is Shape.SCALAR

    def is_loaded(self, node: ast.expr) -> bool:
        return _reads_memory(self.kernel, node)

    def extent(self, node: ast.expr) -> Extent | None:
        """A product of parameters and numbers above zero, names resolved; None for others."""
        if isinstance(node, ast.Constant):
            return Extent(node.value) if type(node.value) is int and node.value > 0 else None
        if isinstance(node, ast.Name):
            if node.id in self.definitions:
                return self.extent(self.definitions[node.id])
            plain = node.id in self.parameters and node.id != self.operand
            return Extent(1, (node.id,)) if plain else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = self.extent(node.left), self.extent(node.right)
            return None if left is None or right is None else left * right
        return None

    def bound(self, node: ast.expr) -> Extent | None:
        """As `extent`, with any other number of the launch as a factor, named by its text."""
        found = self.extent(node)
        if found is not None:
            return found
        if isinstance(node, ast.Name) and node.id in self.definitions:
            value = self.definitions[node.id]
            scalar = self.is_scalar(node)
            if self.is_loaded(value):
                return Extent(1, (node.id,)) if scalar else None
            return self.bound(value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = self.bound(node.left), self.bound(node.right)
            return None if left is None or right is None else left * right
        return Extent(1, (self.text(node),)) if self.is_scalar(node) else None

    def text(self, node: ast.expr, axis: Axis = None) -> str:
        """An expression with names resolved and new axes moved to the vectors that get them."""
        if isinstance(node, ast.Subscript) and axis_of(node.slice) is not None:
            inner = axis_of(node.slice)
            return self.text(node.value, inner if axis is None else (*(inner or ()), "?", *axis))
        if isinstance(node, ast.Name) and node.id in self.definitions:
            value = self.definitions[node.id]
            if not self.is_loaded(value):
                return self.text(value, axis)
        if isinstance(node, ast.BinOp):
            sign = type(node.op).__name__
            return f"({self.text(node.left, axis)} {sign} {self.text(node.right, axis)})"
        if axis is None or self.is_scalar(node):
            return ast.unparse(node)
        return f"{ast.unparse(node)}[{', '.join(axis)}]"


def _before(body: Sequence[ast.stmt], statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statements of all blocks around one, up to it, with the loops that it stands in."""
    for node in body:
        if node is statement:
            return
        holds = any(inner is statement for inner in ast.walk(node))
        if holds or not isinstance(node, ast.For):
            yield node
        if holds:
            for block in ("body", "orelse"):
                inside = getattr(node, block, [])
                if any(inner is statement for one in inside for inner in ast.walk(one)):
                    yield from _before(inside, statement)
            return


def _assigned(node: ast.stmt) -> str | None:
    target: ast.expr | None = None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    elif isinstance(node, ast.For | ast.AnnAssign):
        target = node.target
    return target.id if isinstance(target, ast.Name) else None


def _value(node: ast.stmt) -> ast.expr | None:
    return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None


def _reads_memory(kernel: KernelText, node: ast.expr) -> bool:
    """Whether the same text could give another value at another time."""
    return any(
        isinstance(inner, ast.Call) and (kernel.called(inner) or "") not in _TIMELESS
        for inner in ast.walk(node)
        if not _is_cast(kernel, inner)
    )


def _is_cast(kernel: KernelText, node: ast.AST) -> bool:
    method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return method and kernel.called(node) is None and node.func.attr == "to"  # type: ignore[attr-defined]
