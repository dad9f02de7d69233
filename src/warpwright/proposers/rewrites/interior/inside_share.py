"""Which share of a launch's blocks touches no border, by its traced sizes and grid."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import ConstantArgument, Launch, ScalarArgument, TracedConfig

_SAMPLES = 9
"""Blocks that are looked at along each axis of a grid."""
_MAX_DEPTH = 12


def share_inside(kernel: KernelText, conditions: Sequence[str], calls: KernelCalls) -> float:
    """The largest share over launches and configs; conditions that cannot be told count as true."""
    tests = [ast.parse(text, mode="eval").body for text in conditions]
    values = _assigned_once(kernel)
    shares = [
        _share(kernel, values, tests, launch, traced)
        for launch in calls.launches
        for traced in launch.configs
    ]
    return max(shares, default=0.0)


def _assigned_once(kernel: KernelText) -> Mapping[str, ast.expr]:
    stored = stored_names(kernel.node.body)
    return {
        node.targets[0].id: node.value
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and stored.count(node.targets[0].id) == 1
    }


def _share(
    kernel: KernelText,
    values: Mapping[str, ast.expr],
    tests: Sequence[ast.expr],
    launch: Launch,
    traced: TracedConfig,
) -> float:
    numbers = {
        name: argument.value
        for name, argument in launch.arguments.items()
        if isinstance(argument, ScalarArgument | ConstantArgument) and type(argument.value) is int
    }
    meta = {**traced.config.meta_dict, **traced.heuristic_values}
    numbers |= {name: value for name, value in meta.items() if type(value) is int}
    blocks = list(product(*(_spread(size) for size in traced.grid)))
    held = 0
    for block in blocks:
        known = _Block(kernel, values, numbers, block)
        held += all(known.value(test, 0) is not False for test in tests)
    return held / len(blocks) if blocks else 0.0


def _spread(size: int) -> Sequence[int]:
    """Places along an axis, its ends among them no more often than among all."""
    if size <= _SAMPLES:
        return range(size)
    return [(2 * i + 1) * size // (2 * _SAMPLES) for i in range(_SAMPLES)]


@dataclass(frozen=True, slots=True)
class _Block:
    """What one block of a launch makes of expressions; None for what is not known."""

    kernel: KernelText
    values: Mapping[str, ast.expr]
    numbers: Mapping[str, int]
    place: tuple[int, ...]

    def value(self, node: ast.expr, depth: int) -> int | bool | None:
        if depth > _MAX_DEPTH:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, int) else None
        if isinstance(node, ast.Name):
            return self._named(node.id, depth)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.BinOp):
            return self._operation(node, depth)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = self.value(node.left, depth), self.value(node.comparators[0], depth)
            return None if left is None or right is None else _compared(node.ops[0], left, right)
        return None

    def _named(self, name: str, depth: int) -> int | bool | None:
        if name in self.numbers:
            return self.numbers[name]
        value = self.values.get(name)
        return None if value is None else self.value(value, depth + 1)

    def _called(self, node: ast.Call) -> int | None:
        if self.kernel.called(node) != "program_id":
            return None
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        axis = given[0].value if given and isinstance(given[0], ast.Constant) else None
        known = type(axis) is int and axis < len(self.place)
        return self.place[axis] if known and isinstance(axis, int) else None

    def _operation(self, node: ast.BinOp, depth: int) -> int | bool | None:
        left, right = self.value(node.left, depth), self.value(node.right, depth)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.FloorDiv | ast.Mod) and right:
            return left // right if isinstance(node.op, ast.FloorDiv) else left % right
        return None


def _compared(operator: ast.cmpop, left: int, right: int) -> bool | None:
    if isinstance(operator, ast.Lt | ast.GtE):
        return (left < right) is isinstance(operator, ast.Lt)
    if isinstance(operator, ast.Gt | ast.LtE):
        return (left > right) is isinstance(operator, ast.Gt)
    return left == right if isinstance(operator, ast.Eq) else None
