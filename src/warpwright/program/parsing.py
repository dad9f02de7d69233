"""Text to syntax tree, with every failure told as an `InputError` in the document's lines."""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache

from warpwright.errors import InputError, Place
from warpwright.program.syntax import LOCK, syntax_tree

MAX_SOURCE_CHARACTERS = 1_000_000
"""The largest recorded program has 40,000; a program above this is no Triton program."""

MAX_TREE_DEPTH = 120
"""Deepest syntax tree that is read: keeps every recursive walk far from Python's own limit."""

SECTION = "program"


@lru_cache(512)
def parse_expression(text: str) -> ast.expr | None:
    """The tree of one expression, read once and shared, so not to be changed; None for others."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None


def parse(source: str, *, document: str | None = None, first_line: int = 1) -> ast.Module:
    """The syntax tree of `source`. Nothing is executed.

    `first_line` is the line of `document` on which the source starts; errors are told in the
    document's lines. Raises `InputError` for a syntax error, and for source that is too long
    or too deeply nested to be read safely.
    """
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise InputError(
            "the program is too long to read",
            place=Place(document, SECTION, first_line),
            expected=f"at most {MAX_SOURCE_CHARACTERS} characters",
            got=f"{len(source)} characters",
            hint="give only the Triton program, without data",
        )
    try:
        with LOCK, warnings.catch_warnings():  # neither is safe among threads
            # Invalid escape sequences only warn; they are not the reader's business.
            warnings.simplefilter("ignore")
            tree = syntax_tree(source)
            depth, line = tree_depth(tree)
            if depth > MAX_TREE_DEPTH:
                raise too_deep(document, first_line, line)
            # Catches what the grammar allows and Python does not: `return` outside a
            # function, `break` outside a loop, two parameters of one name.
            compile(tree, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _syntax_error(error, document, first_line) from None
    except (RecursionError, MemoryError):
        raise too_deep(document, first_line, None) from None
    except (ValueError, OverflowError) as error:
        raise InputError(
            "the program is not text that Python can read",
            place=Place(document, SECTION, first_line),
            got=str(error),
            hint="remove null bytes and broken characters from the program",
        ) from None
    return tree


@lru_cache(maxsize=4096)
def expression_of(text: str) -> ast.expr | None:
    """An expression that is known as text alone, read once and not to be changed; None for none.

    Where the node that the text was made of is at hand, that is what to ask.
    """
    try:
        return syntax_tree(text.strip(), "eval").body
    except (SyntaxError, ValueError):
        return None


def tree_depth(tree: ast.AST) -> tuple[int, int | None]:
    """Depth of the tree, and the line of a deepest node. Iterative: safe on any depth."""
    deepest, line = 0, None
    stack: list[tuple[ast.AST, int]] = [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        if depth > deepest:
            deepest, line = depth, getattr(node, "lineno", line)
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return deepest, line


def text_of(node: ast.AST | None) -> str:
    """The node as source in one canonical layout; "" for None."""
    return "" if node is None else ast.unparse(node)


def segment_of(source: str, node: ast.AST) -> str:
    """The node exactly as it was written."""
    return ast.get_source_segment(source, node) or ast.unparse(node)


def lines_of(source: str) -> list[str]:
    """The source's lines as Python counts them (a form feed ends none)."""
    return re.split(r"\r\n|\r|\n", source)


def too_deep(document: str | None, first_line: int, line: int | None) -> InputError:
    """The error for a program that cannot be walked within Python's own recursion limit."""
    return InputError(
        "the program is nested too deeply to read",
        place=Place(document, SECTION, first_line + (line or 1) - 1),
        expected=f"a syntax tree of at most {MAX_TREE_DEPTH} levels",
        hint="split the expression or statement on this line",
    )


def _syntax_error(error: SyntaxError, document: str | None, first_line: int) -> InputError:
    line = error.lineno or 1
    written = (error.text or "").strip()
    return InputError(
        f"the program has a syntax error: {error.msg}",
        place=Place(document, SECTION, first_line + line - 1),
        expected="a program that Python can parse",
        got=written[:200] or None,
        hint="correct this line; prose around the program belongs outside its code block",
    )
