"""Python source as text: parsed to a syntax tree, never run."""

from __future__ import annotations

import ast
import warnings

from warpwright.errors import InputError, Place
from warpwright.program.syntax import LOCK

MAX_SOURCE_CHARS = 512 * 1024
"""Python sources longer than this are refused."""


def _tree(source: str) -> ast.Module:
    with LOCK, warnings.catch_warnings():  # neither is safe among threads
        warnings.simplefilter("ignore")  # a foreign "\d" is no concern of ours
        return ast.parse(source)


def parse_python(
    source: str, *, document: str | None = None, section: str | None = None, first_line: int = 1
) -> ast.Module:
    """The syntax tree. `first_line` is the document's line on which the source begins.

    Raises `InputError`, in the document's lines, for anything that is no Python source.
    """
    place = Place(document, section)
    if len(source) > MAX_SOURCE_CHARS:
        raise InputError(
            "the Python source is too long",
            place=place,
            expected=f"at most {MAX_SOURCE_CHARS:,} characters",
            got=f"{len(source):,} characters",
        )
    try:
        return _tree(source)
    except SyntaxError as error:
        line = None if error.lineno is None else error.lineno + first_line - 1
        raise InputError(
            f"syntax error: {error.msg}",
            place=Place(document, section, line),
            expected="Python source",
            got=repr((error.text or "").strip()[:120]) if error.text else None,
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f"this is no readable Python source: {error or type(error).__name__}",
            place=place,
            expected="Python source",
        ) from error


def is_python(source: str) -> bool:
    """Whether the source is valid Python."""
    try:
        parse_python(source)
    except InputError:
        return False
    return True
