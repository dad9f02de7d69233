"""A kernel's source under one config: branches that its constants do not take are left out."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.program.evaluate import Evaluator, Unreadable
from warpwright.program.resolve import Aliases
from warpwright.types.config import MetaValue


def decided(
    node: ast.FunctionDef, aliases: Aliases, constants: Mapping[str, MetaValue]
) -> ast.FunctionDef:
    """The kernel, which is changed, without the branches that its constants do not take.

    if SPLIT == 1:                       with SPLIT = 1
        tl.store(c, s)             →         tl.store(c, s)
    else:
        tl.atomic_add(c, s)
    """
    names = {name: ast.Constant(value) for name, value in constants.items()}
    _Deciding(Evaluator(aliases, names)).visit(node)
    return node


class _Deciding(ast.NodeTransformer):
    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        try:
            taken = bool(self._evaluator.value(node.test))
        except Unreadable:
            return node
        return (node.body if taken else node.orelse) or [ast.Pass()]
