"""Which numbers the indices of a load can be: from zero up to a size, where it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.proposers.rewrites.common.value_axes import HINTS
from warpwright.proposers.rewrites.digits.extent import Extent
from warpwright.proposers.rewrites.digits.read_digits import Axis, axis_of
from warpwright.proposers.rewrites.repack.values import Values

_RANGES = ("range", "static_range")
_COUNTS = ("program_id", "num_programs")
_AT_LEAST_ZERO = ("cdiv", "minimum", "maximum")


class Ranges:
    """Which indices are shown to be a number from 0 up to a size, where a load reads.

    `sizes`: parameters that are at least 1. `mask`: of the load, if it has one.
    """

    def __init__(self, values: Values, sizes: set[str], mask: ast.expr | None) -> None:
        self._values = values
        self._positive = sizes | _block_sizes(values)
        self._below: dict[str, list[Extent]] = {}
        self._from_zero: set[str] = set()
        for compare, axis in _conjuncts(values, mask, None):
            self._learn(compare, axis)

    def _learn(self, node: ast.Compare, axis: Axis) -> None:
        """`0 <= a < n`, in parts or as one."""
        for one, operator, other in zip(
            (node.left, *node.comparators), node.ops, node.comparators, strict=False
        ):
            small, large, strict = one, other, isinstance(operator, ast.Lt | ast.Gt)
            if isinstance(operator, ast.Gt | ast.GtE):
                small, large = other, one
            elif not isinstance(operator, ast.Lt | ast.LtE):
                continue
            bound = self._values.bound(large)
            if strict and bound is not None:
                self._below.setdefault(self._values.text(small, axis), []).append(bound)
            if isinstance(small, ast.Constant) and small.value == 0:
                self._from_zero.add(self._values.text(large, axis))

    def inside(self, node: ast.expr, size: Extent, axis: Axis = None) -> bool:
        """Whether every lane that is read has 0 <= node < size."""
        return self._at_least_zero(node, axis) and self._is_below(node, size, axis)

    def _is_below(self, node: ast.expr, size: Extent, axis: Axis) -> bool:
        known = self._below.get(self._values.text(node, axis), ())
        if any(size.over(bound) is not None for bound in known):
            return True
        if isinstance(node, ast.Constant):
            return type(node.value) is int and node.value < size.number
        inner, axis = self._through(node, axis)
        if inner is not None:
            return self._is_below(inner, size, axis)
        if isinstance(node, ast.Name) and node.id in self._values.loops:
            stop = _stop(self._values.loops[node.id])
            return stop is not None and self._fits(stop, size)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return self._fits(node.right, size) and self._at_least_zero(node.left, axis)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
            divisor = self._values.bound(node.right)
            if divisor is None or not self._at_least_zero(node.left, axis):
                return False
            return self._is_below(node.left, size * divisor, axis)
        if isinstance(node, ast.Call) and self._values.kernel.called(node) == "arange":
            return len(node.args) == 2 and self._fits(node.args[1], size)
        return False

    def _fits(self, node: ast.expr, size: Extent) -> bool:
        bound = self._values.bound(node)
        return bound is not None and size.over(bound) is not None

    def _through(self, node: ast.expr, axis: Axis) -> tuple[ast.expr | None, Axis]:
        """What an expression only passes on, with its new axes; None for any other."""
        if isinstance(node, ast.Name) and node.id in self._values.definitions:
            return self._values.definitions[node.id], axis
        if isinstance(node, ast.Subscript) and axis is None and axis_of(node.slice) is not None:
            return node.value, axis_of(node.slice)
        if isinstance(node, ast.Call):
            called = self._values.kernel.called(node)
            if called in HINTS and node.args:
                return node.args[0], axis
            if isinstance(node.func, ast.Attribute) and called is None and node.func.attr == "to":
                kinds = [self._values.kernel.path(argument) for argument in node.args]
                if kinds in (["int32"], ["int64"]):
                    return node.func.value, axis
        return None, axis

    def _at_least_zero(self, node: ast.expr, axis: Axis) -> bool:
        if self._values.text(node, axis) in self._from_zero:
            return True
        if isinstance(node, ast.Constant):
            return type(node.value) is int and node.value >= 0
        inner, axis = self._through(node, axis)
        if inner is not None:
            return self._at_least_zero(inner, axis)
        if isinstance(node, ast.Name):
            loop = self._values.loops.get(node.id)
            return node.id in self._positive if loop is None else self._counts_up(loop)
        if isinstance(node, ast.BinOp):
            plain = isinstance(node.op, ast.Add | ast.Mult | ast.FloorDiv | ast.Mod)
            sides = (node.left, node.right)
            return plain and all(self._at_least_zero(side, axis) for side in sides)
        if isinstance(node, ast.Call):
            called = self._values.kernel.called(node)
            if called in _COUNTS:
                return True
            if called == "arange" and node.args:
                return self._at_least_zero(node.args[0], None)
            return called in _AT_LEAST_ZERO and all(
                self._at_least_zero(argument, axis) for argument in node.args
            )
        return False

    def _counts_up(self, loop: ast.For) -> bool:
        """From zero or more, in steps that are not negative."""
        assert isinstance(loop.iter, ast.Call)
        arguments = loop.iter.args
        if _stop(loop) is None or self._values.kernel.called(loop.iter) not in _RANGES:
            return False
        others = arguments[:1] + arguments[2:] if len(arguments) > 1 else []
        return all(self._at_least_zero(other, None) for other in others)


def _stop(loop: ast.For) -> ast.expr | None:
    """Where a loop over a range ends; None where it is given by keyword."""
    call = loop.iter
    if not isinstance(call, ast.Call) or any(
        k.arg in ("arg1", "arg2", "step", None) for k in call.keywords
    ):
        return None
    return call.args[min(len(call.args) - 1, 1)] if call.args else None


def _block_sizes(values: Values) -> set[str]:
    """Parameters that are the length of an arange, which is at least 1."""
    return {
        node.args[1].id
        for node in ast.walk(values.kernel.node)
        if isinstance(node, ast.Call)
        and values.kernel.called(node) == "arange"
        and len(node.args) == 2
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value == 0
        and isinstance(node.args[1], ast.Name)
        and node.args[1].id in values.parameters
    }


def _conjuncts(
    values: Values, node: ast.expr | None, axis: Axis
) -> Iterator[tuple[ast.Compare, Axis]]:
    """The comparisons that all hold where a mask does, with the axes that they are given."""
    if isinstance(node, ast.Compare):
        yield node, axis
    elif isinstance(node, ast.Name) and node.id in values.definitions:
        yield from _conjuncts(values, values.definitions[node.id], axis)
    elif isinstance(node, ast.Subscript) and axis is None and axis_of(node.slice) is not None:
        yield from _conjuncts(values, node.value, axis_of(node.slice))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _conjuncts(values, node.left, axis)
        yield from _conjuncts(values, node.right, axis)
