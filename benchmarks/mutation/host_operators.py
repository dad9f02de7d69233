"""Mutation operators for host code: the grid, and what a launch passes."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from mutation import hook_operators
from mutation.kernel_operators import Operator
from mutation.syntax import Function, called, grouped, text_of


def broken_grid(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`triton.cdiv(n, b)` → `n // b`, `triton.cdiv(n, b) - 1`; `(n + b - 1) // b` → `n // b`."""
    if called(node) == "cdiv":
        assert isinstance(node, cst.Call)
        whole, part = (grouped(argument.value) for argument in node.args[:2])
        yield grouped(cst.BinaryOperation(whole, cst.FloorDivide(), part))
        yield grouped(cst.BinaryOperation(node, cst.Subtract(), cst.Integer("1")))
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.FloorDivide):
        rounded = _rounded_up(node)
        if rounded is not None:
            yield node.with_changes(left=grouped(rounded))


def _rounded_up(division: cst.BinaryOperation) -> cst.BaseExpression | None:
    """`n` of `(n + b - 1) // b`."""
    match division.left:
        case cst.BinaryOperation(
            left=cst.BinaryOperation(left=whole, operator=cst.Add(), right=part),
            operator=cst.Subtract(),
            right=cst.Integer(value="1"),
        ) if text_of(part) == text_of(division.right):
            return whole
    return None


def swapped_arguments(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`kernel[grid](x, w, y)` → `kernel[grid](w, x, y)`: two neighbours change places."""
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Subscript):
        return
    for index in range(len(node.args) - 1):
        first, second = node.args[index], node.args[index + 1]
        if first.keyword is None and second.keyword is None and not first.star + second.star:
            args = list(node.args)
            args[index] = first.with_changes(value=second.value)
            args[index + 1] = second.with_changes(value=first.value)
            yield node.with_changes(args=args)


def changed_argument(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`kernel[grid](x, 1e-5)` → `kernel[grid](x, 1.5e-5)`: a number that a launch passes."""
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Subscript):
        return
    for argument in node.args:
        if isinstance(argument.value, cst.Float):
            value = float(argument.value.value)
            changed = argument.with_changes(value=cst.Float(repr(value * 1.5) if value else "1.0"))
            args = [changed if a is argument else a for a in node.args]
            yield node.with_changes(args=args)


def wrong_dimension(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`x.stride(0)` → `x.stride(1)`, `x.shape[1]` → `x.shape[0]`: the neighbour's."""
    if called(node) in ("stride", "size"):
        assert isinstance(node, cst.Call)
        if len(node.args) == 1 and isinstance(node.args[0].value, cst.Integer):
            other = cst.Integer("1" if node.args[0].value.value == "0" else "0")
            yield node.with_changes(args=[node.args[0].with_changes(value=other)])
    if isinstance(node, cst.Subscript) and text_of(node.value).endswith(".shape"):
        index = node.slice[0].slice
        if isinstance(index, cst.Index) and isinstance(index.value, cst.Integer):
            other = cst.Integer("1" if index.value.value == "0" else "0")
            element = node.slice[0].with_changes(slice=index.with_changes(value=other))
            yield node.with_changes(slice=[element])


HOOK_OPERATORS: dict[str, Operator] = {
    "dropped hook": hook_operators.dropped_hook,
    "changed heuristic": hook_operators.changed_heuristic,
}
"""For the decorators of kernels, and for lists of configs at module level."""

HOST_OPERATORS: dict[str, Operator] = {
    "dropped fill": hook_operators.dropped_fill,
    "changed fill": hook_operators.changed_fill,
    "broken grid": broken_grid,
    "swapped arguments": swapped_arguments,
    "changed argument": changed_argument,
    "wrong dimension": wrong_dimension,
}
