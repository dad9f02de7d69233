"""Python text to syntax tree, one thread at a time.

CPython up to 3.11.8 and 3.12.1 counts the depth of the tree that it builds in one place for all
threads, and fails with a SystemError when two of them build one at a time
(https://github.com/python/cpython/issues/106905).
"""

from __future__ import annotations

import ast
import threading
from typing import Literal, overload

LOCK = threading.RLock()
"""Held while a tree is built, and while one is compiled."""


@overload
def syntax_tree(source: str | bytes, mode: Literal["exec"] = "exec") -> ast.Module: ...
@overload
def syntax_tree(source: str | bytes, mode: Literal["eval"]) -> ast.Expression: ...
def syntax_tree(
    source: str | bytes, mode: Literal["exec", "eval"] = "exec"
) -> ast.Module | ast.Expression:
    """`ast.parse`. Raises what that raises."""
    with LOCK:
        tree = ast.parse(source, mode=mode)
    assert isinstance(tree, ast.Module | ast.Expression)
    return tree
