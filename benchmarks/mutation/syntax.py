"""What mutation operators read off a function and its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst


@dataclass(frozen=True, slots=True)
class Function:
    """The function that a node stands in. `pointers`, `strides`, `sizes`: parameter names.

    A stride is an integer parameter named so; a size is any other integer parameter. Host
    functions have none of the three.
    """

    name: str
    is_kernel: bool
    pointers: tuple[str, ...] = ()
    strides: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()


def called(node: cst.CSTNode) -> str | None:
    """The last part of a call's name (`load` of `tl.load(...)`); None for anything else."""
    if not isinstance(node, cst.Call):
        return None
    if isinstance(node.func, cst.Attribute):
        return node.func.attr.value
    return node.func.value if isinstance(node.func, cst.Name) else None


def is_language_call(node: cst.CSTNode, *names: str) -> bool:
    """Whether a node is `tl.NAME(...)` with one of the names."""
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and isinstance(node.func.value, cst.Name)
        and node.func.value.value in ("tl", "language")
        and node.func.attr.value in names
    )


def keyword(call: cst.Call, name: str) -> cst.Arg | None:
    """The keyword argument of this name."""
    return next((a for a in call.args if a.keyword is not None and a.keyword.value == name), None)


def without(call: cst.Call, *dropped: cst.Arg) -> cst.Call:
    """The call without these arguments."""
    return call.with_changes(
        args=tuple(a for a in call.args if not any(a is gone for gone in dropped))
    )


def with_value(call: cst.Call, changed: cst.Arg, value: cst.BaseExpression) -> cst.Call:
    """The call with the value of one argument replaced."""
    args = tuple(a.with_changes(value=value) if a is changed else a for a in call.args)
    return call.with_changes(args=args)


def renamed(call: cst.Call, name: str) -> cst.Call:
    """`tl.sum(x)` → `tl.NAME(x)`."""
    assert isinstance(call.func, cst.Attribute)
    return call.with_changes(func=call.func.with_changes(attr=cst.Name(name)))


def grouped(expression: cst.BaseExpression) -> cst.BaseExpression:
    """The expression in parentheses, so that it can stand anywhere."""
    if expression.lpar or isinstance(expression, (cst.Name, cst.Integer, cst.Float)):
        return expression
    return expression.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def parsed(text: str) -> cst.BaseExpression:
    """An expression from text, in parentheses."""
    return cst.parse_expression(text)


def text_of(node: cst.CSTNode) -> str:
    """The node's source on one line."""
    return " ".join(cst.Module(body=[]).code_for_node(node).split())


def names_in(node: cst.CSTNode) -> Iterator[str]:
    """Every name in an expression."""
    if isinstance(node, cst.Name):
        yield node.value
    for child in node.children:
        yield from names_in(child)


def contains_call(node: cst.CSTNode, name: str) -> bool:
    """Whether `tl.NAME(...)` stands anywhere in the node."""
    return is_language_call(node, name) or any(contains_call(c, name) for c in node.children)
