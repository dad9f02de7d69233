"""How many steps a loop takes."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def trip_count(loop: ast.For, sizes: Mapping[str, int]) -> int | None:
    """Steps of a range whose bounds are numbers and names of known sizes; None if unknown."""
    if not isinstance(loop.iter, ast.Call) or not 1 <= len(loop.iter.args) <= 3:
        return None
    values = [_number(argument, sizes) for argument in loop.iter.args]
    if any(value is None for value in values):
        return None
    numbers = [value for value in values if value is not None]
    if len(numbers) == 3 and numbers[2] == 0:
        return None
    return len(range(*numbers))


def _number(node: ast.expr, sizes: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return sizes.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        left, right = _number(node.left, sizes), _number(node.right, sizes)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Mult):
            return left * right
        return left + right if isinstance(node.op, ast.Add) else left - right
    return None
