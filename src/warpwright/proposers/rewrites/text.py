"""Replacing a statement of a kernel in its program's text; all else stays as it was written."""

from __future__ import annotations

import ast
import textwrap

from warpwright.proposers.rewrites.refusal import DoesNotApply
from warpwright.syntax import syntax_tree

INDENT = "    "


def kernel_function(source: str, kernel: str) -> ast.FunctionDef:
    """The kernel's definition. Raises DoesNotApply where there is none of that name."""
    for node in ast.walk(syntax_tree(source)):
        if isinstance(node, ast.FunctionDef) and node.name == kernel:
            return node
    raise DoesNotApply(f"the program has no kernel {kernel}")


def constexpr_names(function: ast.FunctionDef) -> set[str]:
    """The parameters whose values are known when the kernel is compiled."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {
        argument.arg
        for argument in arguments
        if argument.annotation is not None and "constexpr" in ast.unparse(argument.annotation)
    }


def language_name(source: str) -> str:
    """What the program calls `triton.language`."""
    for node in syntax_tree(source).body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "triton.language" and alias.asname:
                    return alias.asname
        if isinstance(node, ast.ImportFrom) and node.module == "triton":
            for alias in node.names:
                if alias.name == "language":
                    return alias.asname or alias.name
    raise DoesNotApply("triton.language is not imported under a name")


def replace_statement(
    source: str, statement: ast.stmt, new: str, condition: str | None, told: str
) -> str:
    """The source with `new` in the statement's place, under a comment that says why.

    With a `condition` the statement stays, as the other branch of an `if` on it.
    """
    lines = source.splitlines(keepends=True)
    first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
    margin = " " * statement.col_offset
    old = textwrap.dedent("".join(lines[first:last]))
    if condition is None:
        block = f"{told}\n{new.rstrip()}\n"
    else:
        block = (
            f"{told}\nif {condition}:\n{textwrap.indent(new.rstrip(), INDENT)}\n"
            f"else:\n{textwrap.indent(old.rstrip(), INDENT)}\n"
        )
    return "".join([*lines[:first], textwrap.indent(block, margin), *lines[last:]])
