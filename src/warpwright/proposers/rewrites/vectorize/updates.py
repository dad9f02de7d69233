"""How a step of a loop combines a value with a term: `acc += x`, `acc = tl.maximum(acc, x)`."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply

SUM, PRODUCT, LARGEST, SMALLEST = "+", "*", "max", "min"
_CALLED = {
    "maximum": LARGEST, "max": LARGEST, "minimum": SMALLEST, "min": SMALLEST,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Update:
    """`value = value operation term`. `compared`: by a comparison, which keeps a value that is no
    number, where `tl.maximum` does not. `only_if`: the condition under which a step does it.
    `apart`: the term is of several, which the step combines with the value one after the other."""

    operation: str
    term: ast.expr
    compared: bool = False
    only_if: ast.expr | None = None
    apart: bool = False


def read_update(kernel: KernelText, name: str, value: ast.expr) -> Update:
    """The update that `name = value` makes. Raises DoesNotApply where it is another recurrence."""
    update = _update(kernel, name, value)
    if update is None:
        raise DoesNotApply(f"{name} = {ast.unparse(value)} is no sum, product or extreme")
    if name in loaded_names([update.term, *([update.only_if] if update.only_if else [])]):
        raise DoesNotApply(f"{name} = {ast.unparse(value)} reads {name} twice")
    return update


def _update(kernel: KernelText, name: str, value: ast.expr) -> Update | None:
    if isinstance(value, ast.BinOp):
        return _arithmetic(name, value)
    if not isinstance(value, ast.Call) or value.keywords:
        return None
    if kernel.called(value) == "where" and len(value.args) == 3:
        return _chosen(kernel, name, value)
    # `tl.max` is a reduction: only Python's own `max` combines two values.
    path, called = kernel.path(value.func), kernel.called(value)
    operation = _CALLED.get(called or "")
    if operation is None or len(value.args) != 2 or (path in ("max", "min")):
        return None
    others = [argument for argument in value.args if not _is(argument, name)]
    return Update(operation, others[0]) if len(others) == 1 else None


def _arithmetic(name: str, value: ast.BinOp) -> Update | None:
    left, right, operator = value.left, value.right, value.op
    if isinstance(operator, ast.Sub) and _is(left, name):
        return Update(SUM, ast.UnaryOp(ast.USub(), right))
    if not isinstance(operator, ast.Add | ast.Mult):
        return None
    operation = SUM if isinstance(operator, ast.Add) else PRODUCT
    if _is(left, name):
        return Update(operation, right)
    if _is(right, name):
        return Update(operation, left)
    if isinstance(left, ast.BinOp) and isinstance(left.op, type(operator)):
        inner = _arithmetic(name, left)  # a + b + c is (a + b) + c
        if inner is not None and (inner.apart or not _combines(inner.term, operator)):
            return Update(operation, ast.BinOp(inner.term, operator, right), apart=True)
    return None


def _chosen(kernel: KernelText, name: str, value: ast.Call) -> Update | None:
    """`where(x > acc, x, acc)`, or `where(condition, an update of acc, acc)`."""
    condition, first, second = value.args
    if not _is(second, name):
        return None
    if isinstance(condition, ast.Compare) and len(condition.ops) == 1:
        sides = [condition.left, condition.comparators[0]]
        texts = [ast.unparse(side) for side in sides]
        if texts in ([ast.unparse(first), name], [name, ast.unparse(first)]):
            above = isinstance(condition.ops[0], ast.Gt | ast.GtE)
            below = isinstance(condition.ops[0], ast.Lt | ast.LtE)
            if not above and not below:
                return None
            largest = above == (texts[1] == name)
            return Update(LARGEST if largest else SMALLEST, first, compared=True)
    inner = _update(kernel, name, first)
    if inner is None or inner.only_if is not None:
        return None
    return Update(inner.operation, inner.term, inner.compared, condition, inner.apart)


def _combines(term: ast.expr, operator: ast.operator) -> bool:
    return isinstance(term, ast.BinOp) and isinstance(term.op, type(operator))


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
