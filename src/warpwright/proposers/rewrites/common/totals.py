"""Statements that take one more term on to a total."""

from __future__ import annotations

import ast

from warpwright.proposers.rewrites.common.kernel_text import KernelText

_PAIRS = {"maximum": "max", "minimum": "min"}
_OF_PYTHON = frozenset({"max", "min"})
"""Which Triton takes for its own `maximum` and `minimum`."""


def taken_on(kernel: KernelText, statement: ast.stmt) -> tuple[str, str, ast.expr] | None:
    """For `s += t`, `s = s + t`, `s = tl.maximum(s, t)`, `s = max(s, t)` the name, the kind (sum,
    max or min) and `t`; None for another statement."""
    if isinstance(statement, ast.AugAssign):
        if isinstance(statement.op, ast.Add) and isinstance(statement.target, ast.Name):
            return statement.target.id, "sum", statement.value
        return None
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target, value = statement.targets[0], statement.value
    if not isinstance(target, ast.Name):
        return None
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        kind, pair = "sum", [value.left, value.right]
    elif isinstance(value, ast.Call) and len(value.args) == 2 and not value.keywords:
        kind, pair = _pair_of(kernel, value), value.args
    else:
        return None
    own = [isinstance(side, ast.Name) and side.id == target.id for side in pair]
    return (target.id, kind, pair[own.index(False)]) if kind and sum(own) == 1 else None


def _pair_of(kernel: KernelText, call: ast.Call) -> str:
    """Which extreme of two values a call is; empty for another call."""
    name = kernel.called(call) or ""
    if name in _OF_PYTHON and kernel.path(call.func) is None:
        return name
    return _PAIRS.get(name, "")
