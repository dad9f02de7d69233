"""Which names of a kernel are scalars, as far as reading tells."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.digits.read_digits import axis_of

_SCALAR_CALLS = {"program_id", "num_programs", "cdiv", "max", "min", "minimum", "maximum"}


def scalar_names(kernel: KernelText, statements: Iterable[ast.stmt]) -> set[str]:
    """Names that hold a scalar wherever these statements assign them, parameters included."""
    scalars = {parameter.arg for parameter in kernel.parameters}
    vectors: set[str] = set()
    for _ in range(4):  # names are mostly defined before use; loops need another round
        for statement in statements:
            for node in ast.walk(statement):
                if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                    scalars.add(node.target.id)
                elif isinstance(node, (ast.Assign, ast.AugAssign)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
                    if is_scalar(kernel, node.value, scalars - vectors):
                        scalars |= names
                    else:
                        vectors |= names
    return scalars - vectors


def is_scalar(kernel: KernelText, node: ast.expr, scalars: set[str]) -> bool:
    """Whether an expression of these scalars is a scalar itself. Unclear is no."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id in scalars
    if isinstance(node, ast.BinOp):
        both = (node.left, node.right)
        return all(is_scalar(kernel, side, scalars) for side in both)
    if isinstance(node, ast.UnaryOp):
        return is_scalar(kernel, node.operand, scalars)
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        return all(is_scalar(kernel, side, scalars) for side in sides)
    if isinstance(node, ast.Subscript):
        return axis_of(node.slice) is None and False
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            return is_scalar(kernel, node.func.value, scalars)
        called = kernel.called(node)
        if called in _SCALAR_CALLS or called in ("where", "load"):
            return all(is_scalar(kernel, argument, scalars) for argument in node.args)
    return False
