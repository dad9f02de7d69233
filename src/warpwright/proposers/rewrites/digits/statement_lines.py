"""Statements as source in the layout of a program: indented, no line too long where it can be."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import zip_longest

MAX_COLUMNS = 100


def statement_lines(statement: ast.stmt, indent: str) -> list[str]:
    """A statement as lines. Long calls have an argument a line, long sums and masks a term."""
    whole = indent + ast.unparse(ast.fix_missing_locations(statement))
    if len(whole) <= MAX_COLUMNS or not isinstance(statement, (ast.Assign, ast.AugAssign)):
        return [whole]
    value = statement.value
    head = whole[: len(whole) - len(ast.unparse(value))]
    if isinstance(value, ast.Call):
        parts = [ast.unparse(argument) for argument in value.args]
        parts += [f"{k.arg}={ast.unparse(k.value)}" for k in value.keywords]
        inner = []
        for node, part in zip_longest(value.args, parts):
            inner += _argument_lines(node, part, indent + "    ")
        return [f"{head}{ast.unparse(value.func)}(", *inner, f"{indent})"]
    if isinstance(value, ast.BinOp):
        sign = "&" if isinstance(value.op, ast.BitAnd) else "+"
        terms = chain_of(value, type(value.op))
        if isinstance(value.op, (ast.BitAnd, ast.Add)) and len(terms) > 1:
            first, *rest = (_term(term, value.op) for term in terms)
            inner = [f"{indent}    {sign} {term}" for term in rest]
            return [f"{head}(", f"{indent}    {first}", *inner, f"{indent})"]
    return [whole]


def _argument_lines(node: ast.expr | None, text: str, indent: str) -> list[str]:
    """An argument as lines: a long sum has a term a line."""
    if len(indent) + len(text) < MAX_COLUMNS or not isinstance(node, ast.BinOp):
        return [f"{indent}{text},"]
    terms = [_term(term, node.op) for term in chain_of(node, ast.Add)]
    lines = [f"{indent}{terms[0]}", *(f"{indent}+ {term}" for term in terms[1:])]
    return [*lines[:-1], lines[-1] + ","]


def chain_of(node: ast.expr, operator: type[ast.operator]) -> list[ast.expr]:
    """The operands of `a + b + c`, read from the left."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*chain_of(node.left, operator), node.right]
    return [node]


def _term(node: ast.expr, operator: ast.operator) -> str:
    """An operand, in the brackets that it needs beside the operator."""
    text = ast.unparse(ast.BinOp(ast.Name("x", ast.Load()), operator, node))
    return text.split(" ", 2)[2]


def indented(lines: Sequence[str], by: str) -> list[str]:
    return [by + line if line.strip() else line for line in lines]
