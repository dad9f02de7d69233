"""The text of an argument that is no plain value: a hook, a file name made by an expression."""

from __future__ import annotations

import ast

from warpwright.program.evaluate import Evaluator, FunctionName, Unreadable
from warpwright.program.nodes import clone
from warpwright.program.parsing import expression_of, text_of


def written_out(node: ast.expr, evaluator: Evaluator) -> str | None:
    """The argument as text that means the same elsewhere at module level; None where it is None.

        pre_hook=clear if split > 1 else None    with split = 4    →    clear
        pre_hook=zeroing(name)                   with name = "c"   →    zeroing('c')

    Names that only the comprehension around it knows are replaced by their values. Raises
    `Unreadable` where that cannot be done: a lambda that reads such a name sees its last value.
    """
    try:
        return _value_text(evaluator.value(node))
    except Unreadable:
        pass
    if isinstance(node, ast.IfExp):
        return written_out(node.body if evaluator.value(node.test) else node.orelse, evaluator)
    return text_of(_Replacing(evaluator).visit(clone(node)))


def _value_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, FunctionName):
        return value.name
    if isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise Unreadable("no plain value")


class _Replacing(ast.NodeTransformer):
    """Puts values in the place of names that the comprehension around has bound."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._evaluator.local:
            return node
        value = expression_of(str(_value_text(self._evaluator.local[node.id])))
        assert value is not None
        return value

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """Defaults are evaluated where they stand, the body when the hook runs."""
        node.args.defaults = [self.visit(default) for default in node.args.defaults]
        bound = {argument.arg for argument in node.args.args}
        names = {n.id for n in ast.walk(node.body) if isinstance(n, ast.Name)} - bound
        if names & self._evaluator.local.keys():
            raise Unreadable("a lambda that reads a name of the comprehension around it")
        return node
