"""The products of a kernel, as its text has them, and how precise each is asked to be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText

_KEYWORDS = frozenset({"acc", "allow_tf32", "input_precision", "out_dtype"})
_SUITES = ("body", "orelse")
Assignment = ast.Assign | ast.AugAssign | ast.AnnAssign
_LAZY = (ast.IfExp, ast.BoolOp, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.NamedExpr)


@dataclass(frozen=True, slots=True)
class Product:
    """One `tl.dot` in a statement of a kernel. `added`: what it adds to; None where to nothing.

    `around`: the `if` that has the statement in its `else`, with nothing else there.
    """

    statement: Assignment
    call: ast.Call
    left: ast.expr
    right: ast.expr
    added: ast.expr | None
    around: ast.If | None


def strict_products(kernel: KernelText) -> list[Product]:
    """The products that ask for float32 as it is, not TF32, in source order.

    Those alone that are computed whenever their statement is, into float32.
    """
    found = [
        product
        for statement, around in _statements(kernel.node)
        for call in _calls(statement.value)
        if (product := _strict(kernel, statement, call, around)) is not None
    ]
    return sorted(found, key=lambda product: (product.call.lineno, product.call.col_offset))


def _statements(node: ast.AST) -> Iterator[tuple[Assignment, ast.If | None]]:
    """Every assignment under a statement; with the `if` in whose `else` it stands alone."""
    for suite in _SUITES:
        statements = getattr(node, suite, [])
        alone = isinstance(node, ast.If) and suite == "orelse" and len(statements) == 1
        for statement in statements if isinstance(statements, list) else []:
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
                yield statement, node if alone and isinstance(node, ast.If) else None
            else:
                yield from _statements(statement)


def _calls(node: ast.expr | None) -> Iterator[ast.Call]:
    """Calls that are made whenever the expression is computed."""
    if node is None or isinstance(node, _LAZY):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _calls(child)
        elif isinstance(child, ast.keyword):
            yield from _calls(child.value)


def _strict(
    kernel: KernelText,
    statement: Assignment,
    call: ast.Call,
    around: ast.If | None,
) -> Product | None:
    if kernel.called(call) != "dot" or not 2 <= len(call.args) <= 3:
        return None
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if named.keys() - _KEYWORDS or not _asks_for_float32(named):
        return None
    out = named.get("out_dtype")
    if out is not None and kernel.path(out) != "float32":
        return None
    added = call.args[2] if len(call.args) == 3 else named.get("acc")
    if isinstance(added, ast.Constant) and added.value is None:
        added = None
    return Product(statement, call, call.args[0], call.args[1], added, around)


def _asks_for_float32(named: dict[str | None, ast.expr]) -> bool:
    precision, old = named.get("input_precision"), named.get("allow_tf32")
    if precision is not None:
        return old is None and isinstance(precision, ast.Constant) and precision.value == "ieee"
    return isinstance(old, ast.Constant) and old.value is False
