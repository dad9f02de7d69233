"""Mutation operators for what runs around a launch: hooks, heuristics, memory made ready."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from mutation.syntax import Function, called, grouped, without

HOOKS = ("pre_hook", "reset_to_zero", "restore_value")
FILLS = ("zero_", "fill_")


def dropped_hook(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`triton.Config({...}, pre_hook=f)` → `triton.Config({...})`; also a tuner's resets."""
    if called(node) in ("Config", "autotune"):
        assert isinstance(node, cst.Call)
        for argument in node.args:
            if argument.keyword is not None and argument.keyword.value in HOOKS:
                yield without(node, argument)


def changed_heuristic(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`{"EVEN": lambda args: c}` → `lambda args: not (c)`."""
    if isinstance(node, cst.Lambda) and isinstance(
        node.body, (cst.Comparison, cst.BooleanOperation)
    ):
        yield node.with_changes(body=cst.UnaryOperation(cst.Not(), grouped(node.body)))


def dropped_fill(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`y.zero_()` → `pass`, in a hook or before a launch."""
    if isinstance(node, cst.Expr) and called(node.value) in FILLS:
        yield cst.Pass()


def changed_fill(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`torch.zeros(n)` → `torch.ones(n)`, `torch.zeros_like(x)` → `torch.ones_like(x)`."""
    if called(node) in ("zeros", "zeros_like"):
        assert isinstance(node, cst.Call)
        if isinstance(node.func, cst.Attribute):
            other = cst.Name((called(node) or "").replace("zeros", "ones"))
            yield node.with_changes(func=node.func.with_changes(attr=other))
