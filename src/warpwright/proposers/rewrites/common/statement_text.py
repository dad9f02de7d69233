"""Replacing a statement of a kernel in its program's text; all else stays as it was written."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Sequence

from warpwright.program.syntax import syntax_tree

INDENT = "    "
MAX_COLUMNS = 100


def replace_statement(
    source: str, statement: ast.stmt, new: Sequence[str], condition: str | None, told: str
) -> str:
    """The source with the lines `new` in the statement's place, under a comment that says why.

    With a `condition` the statement stays, as the other branch of an `if` on it.
    """
    lines = source.splitlines(keepends=True)
    first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
    margin = margin_of(source, statement)
    if condition is None:
        block = [told, *new]
    else:
        old = textwrap.dedent("".join(lines[first:last])).splitlines()
        block = [told, f"if {condition}:", *indented(new, INDENT)]
        block += ["else:", *indented(old, INDENT)]
    text = [line + "\n" for line in indented(block, margin)]
    return "".join([*lines[:first], *text, *lines[last:]])


def margin_of(source: str, statement: ast.stmt) -> str:
    """The white space before a statement, tabs as they are."""
    return source.splitlines()[statement.lineno - 1][: statement.col_offset]


def indented(lines: Sequence[str], by: str) -> list[str]:
    return [by + line if line.strip() else line for line in lines]


def comments_of(source: str, statement: ast.stmt) -> list[tuple[int, str]]:
    """The comments inside a statement, with their lines."""
    last = statement.end_lineno or statement.lineno
    return [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and statement.lineno <= token.start[0] <= last
    ]


def laid_out(head: str, node: ast.expr, tail: str, columns: int) -> list[str]:
    """`head`, an expression, `tail` as lines of at most that many columns, where they can be.

    Long calls have an argument a line, long sums and masks a term a line.
    """
    return _lines(head, node, tail, columns, bare=False)


def _lines(head: str, node: ast.expr, tail: str, columns: int, *, bare: bool) -> list[str]:
    """`bare`: the expression stands in brackets already."""
    whole = f"{head}{ast.unparse(node)}{tail}"
    if len(whole) <= columns:
        return [whole]
    if isinstance(node, ast.Call):
        return _call_lines(head, node, tail, columns)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.BitAnd):
        sign = "+" if isinstance(node.op, ast.Add) else "&"
        first, *rest = (_term(term, node.op) for term in _chain(node, type(node.op)))
        terms = [first, *(f"{sign} {term}" for term in rest)]
        if bare:
            return [head + terms[0], *terms[1:-1], terms[-1] + tail]
        return [f"{head}(", *indented(terms, INDENT), f"){tail}"]
    return [whole]


def _call_lines(head: str, node: ast.Call, tail: str, columns: int) -> list[str]:
    method = node.func
    if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Call):
        arguments = ast.unparse(ast.Call(ast.Name("f"), node.args, node.keywords))[1:]
        tail = f".{method.attr}{arguments}{tail}"
        return _call_lines(head, method.value, tail, columns)
    inner: list[str] = []
    room = columns - len(INDENT)
    for argument in node.args:
        inner += _lines("", argument, ",", room, bare=True)
    for keyword in node.keywords:
        name = f"{keyword.arg}=" if keyword.arg else "**"
        inner += _lines(name, keyword.value, ",", room, bare=False)
    return [f"{head}{ast.unparse(node.func)}(", *indented(inner, INDENT), f"){tail}"]


def _chain(node: ast.expr, operator: type[ast.operator]) -> list[ast.expr]:
    """The operands of `a + b + c`, read from the left."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*_chain(node.left, operator), node.right]
    return [node]


def _term(node: ast.expr, operator: ast.operator) -> str:
    """An operand, in the brackets that it needs beside the operator."""
    return ast.unparse(ast.BinOp(ast.Name("x"), operator, node)).split(" ", 2)[2]


def parsed(text: str) -> ast.expr:
    """The expression that a text of a rewrite's own says; a new tree each time."""
    return syntax_tree(text, "eval").body
