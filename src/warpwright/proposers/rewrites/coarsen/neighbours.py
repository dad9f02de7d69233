"""What lies next to each other in memory: what neighbouring programs read, or what lanes do."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText

_DEEPEST = 24


@dataclass(frozen=True, slots=True)
class _Point:
    """Which program of the axis, and which lane, an address is worked out for."""

    axis: int
    program: int
    lane: int


def programs_lie_together(
    kernel: KernelText, known: Mapping[str, frozenset[int]], axis: int
) -> bool:
    """Whether neighbouring programs of an axis read elements that lie together, and the lanes of
    each do not, but for what both read alike.

    Sizes are the least that launches pass; pointers count as zero.
    """
    sizes = {name: min(values) for name, values in known.items()}
    together = False
    for node in ast.walk(kernel.node):
        if kernel.called(node) != "load" or not isinstance(node, ast.Call) or not node.args:
            continue
        lanes = _step(kernel, sizes, node.args[0], _Point(axis, 0, 1))
        programs = _step(kernel, sizes, node.args[0], _Point(axis, 1, 0))
        if lanes is None or programs is None:
            return False
        if programs == 0:
            continue  # the same for both, as a bias
        if abs(lanes) == 1:
            return False
        together = together or abs(programs) == 1
    return together


def _step(
    kernel: KernelText, sizes: Mapping[str, int], node: ast.expr, place: _Point
) -> int | None:
    """How far an address lies from that of the first lane of the first program."""
    first = _value(kernel, sizes, node, _Point(place.axis, 0, 0), 0)
    other = _value(kernel, sizes, node, place, 0)
    return None if first is None or other is None else other - first


def _value(
    kernel: KernelText, sizes: Mapping[str, int], node: ast.expr, place: _Point, depth: int
) -> int | None:
    """The value of a whole-number expression, loops in their first step; None if not known."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return _named(kernel, sizes, node.id, place, depth)
    if isinstance(node, ast.BinOp):
        left = _value(kernel, sizes, node.left, place, depth + 1)
        right = _value(kernel, sizes, node.right, place, depth + 1)
        return None if left is None or right is None else _result(node.op, left, right)
    if not isinstance(node, ast.Call):
        return None
    called = kernel.called(node)
    if called == "program_id":
        texts = [ast.unparse(a) for a in (*node.args, *(k.value for k in node.keywords))]
        return place.program if texts == [str(place.axis)] else 0
    if called == "arange":
        return place.lane
    if called_name(node) == "to" and isinstance(node.func, ast.Attribute):
        return _value(kernel, sizes, node.func.value, place, depth + 1)
    return None


def _named(
    kernel: KernelText, sizes: Mapping[str, int], name: str, place: _Point, depth: int
) -> int | None:
    if name in sizes:
        return sizes[name]
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.For) and ast.unparse(node.target) == name:
            return 0
        if isinstance(node, ast.Assign) and any(ast.unparse(t) == name for t in node.targets):
            return _value(kernel, sizes, node.value, place, depth + 1)
    return 0 if name in {parameter.arg for parameter in kernel.parameters} else None


def _result(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv | ast.Mod) and right > 0:
        return left // right if isinstance(operator, ast.FloorDiv) else left % right
    return None
