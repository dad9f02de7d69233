"""Ways through host code that are for tensors of another kind, and were not taken."""

from __future__ import annotations

import ast

from warpwright.program.dotted_names import parse
from warpwright.program.host_calls import HostCall
from warpwright.program.parsing import expression_of
from warpwright.types.launch_trace import Trace

# What tells tensors of one kind from those of another, whatever their sizes and values.
_KINDS = frozenset({"is_cuda", "is_cpu", "device", "dtype", "is_available"})
_PLAIN = (
    ast.BoolOp, ast.boolop, ast.UnaryOp, ast.Not, ast.Compare, ast.cmpop,
    ast.Name, ast.Constant, ast.Tuple, ast.List, ast.Set, ast.expr_context,
)  # fmt: skip


def untaken(call: HostCall, source: str, trace: Trace) -> bool:
    """Whether a call stands under a condition on device or dtype and was not run in the trace.

    A condition on anything else (sizes, `self.training`) clears nothing: what holds for the
    problem's inputs would say nothing of the user's.
    """
    if call.guard is None or not asks_for_kind(call.guard):
        return False
    first, last = _statement(source, call.line)
    ran = {operation.line for operation in trace.host_operations}
    return None not in ran and not any(line is not None and first <= line <= last for line in ran)


def asks_for_kind(guard: str) -> bool:
    """Whether a condition asks for nothing but the device or the dtype of tensors."""
    tree = expression_of(guard)
    if tree is None:
        return False  # "except X", "case X"
    kinds = 0
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Attribute):
            kinds += _is_kind(node)
            if not _is_kind(node) and not _is_dtype(node):
                return False
        elif isinstance(node, ast.Call) and not node.args and not node.keywords:
            todo.append(node.func)
        elif isinstance(node, _PLAIN):
            todo += ast.iter_child_nodes(node)
        else:
            return False
    return kinds > 0


def _is_kind(node: ast.Attribute) -> bool:
    """`x.is_cuda`, `x.dtype`, `x.device`, `x.device.type`, `torch.cuda.is_available`."""
    if node.attr == "type":
        return isinstance(node.value, ast.Attribute) and node.value.attr == "device"
    return node.attr in _KINDS


def _is_dtype(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "torch"


def _statement(source: str, line: int) -> tuple[int, int]:
    """First and last line of the innermost statement that holds a line."""
    tree = parse(source)
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return min(spans, key=lambda span: span[1] - span[0], default=(line, line))
