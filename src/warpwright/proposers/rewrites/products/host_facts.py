"""What the host code says of a tensor's sizes and strides: which of them an expression is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum

from warpwright.program.evaluate import outside_functions
from warpwright.program.parsed import HostFunction
from warpwright.proposers.rewrites.common.kernel_text import stored_names


class Fact(StrEnum):
    """What may be asked of a tensor for each dimension: the method of that name."""

    SIZE = "size"
    STRIDE = "stride"


def own_nodes(function: HostFunction) -> Iterator[ast.AST]:
    """All of a function but what stands in functions within it."""
    for statement in function.node.body:
        yield from outside_functions(statement)


def is_settled(function: HostFunction, name: str) -> bool:
    """Whether a name, or what an attribute is of, has one value in a function."""
    arguments = function.node.args
    given = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    root = name.split(".")[0]
    return stored_names([function.node]).count(root) <= (0 if root in given else 1)


def asked_of(function: HostFunction, node: ast.expr, fact: Fact) -> Iterator[tuple[str, int]]:
    """(tensor, dimension) of each size or stride that an expression is by the text: `x.size(0)`,
    `x.shape[0]`, a name that was given one of these, or one of several: `m, n = x.shape`."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        tensor, place = _whole(ast.Call(node.func, [], []), fact), _number(node.args[0])
        if tensor is not None and place is not None:
            yield tensor, place
    elif isinstance(node, ast.Subscript):
        tensor, place = _whole(node.value, fact), _number(node.slice)
        if tensor is not None and place is not None:
            yield tensor, place
    elif isinstance(node, ast.Name) and is_settled(function, node.id):
        for statement in own_nodes(function):
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                yield from _assigned(function, statement, node.id, fact)


def equal_before(function: HostFunction, place: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Pairs of expressions of which a function has made sure, by `assert a == b` or
    `if a != b: raise`, that they are equal before it comes to one of its statements."""
    for statement in function.node.body:
        if any(inner is place for inner in ast.walk(statement)):
            return
        if isinstance(statement, ast.Assert):
            yield from _equal(statement.test, ast.Eq, ast.And)
        elif isinstance(statement, ast.If) and isinstance(statement.body[0], ast.Raise):
            yield from _equal(statement.test, ast.NotEq, ast.Or)


def _equal(
    node: ast.expr, compares: type[ast.cmpop], joins: type[ast.boolop]
) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, joins):
        for value in node.values:
            yield from _equal(value, compares, joins)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], compares):
        yield node.left, node.comparators[0]


def _assigned(
    function: HostFunction, statement: ast.Assign, name: str, fact: Fact
) -> Iterator[tuple[str, int]]:
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Name) and target.id == name:
        yield from asked_of(function, value, fact)
    elif isinstance(target, ast.Tuple):
        words = [ast.unparse(element) for element in target.elts]
        tensor = _whole(value, fact)
        starred = any(isinstance(element, ast.Starred) for element in target.elts)
        if tensor is not None and not starred and name in words:
            yield tensor, words.index(name)
        elif isinstance(value, ast.Tuple) and not starred and name in words:
            yield from asked_of(function, value.elts[words.index(name)], fact)


def _whole(node: ast.expr, fact: Fact) -> str | None:
    """The tensor of which an expression is all sizes or all strides."""
    if isinstance(node, ast.Attribute) and node.attr == "shape" and fact is Fact.SIZE:
        return ast.unparse(node.value)
    if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value) if node.func.attr == fact else None
    return None


def _number(node: ast.expr) -> int | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if type(value) is int and value >= 0 else None
