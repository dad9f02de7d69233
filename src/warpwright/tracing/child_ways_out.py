"""Inside a tracing child: names by which a program reaches other modules through torch or Triton.

`torch.sys.modules` and `torch.os.environ` tell a program where it runs, and let it load anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import ModuleType
from typing import Any

OWN = ("torch", "triton")


def ways_out(program: ModuleType, source: str) -> list[tuple[str, int]]:
    """(name as written, line) of each way from torch or Triton to a module of neither."""
    found: dict[tuple[str, int], None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            for written in _leaving(node, vars(program)):
                found[written, node.lineno] = None
    return list(found)


def _leaving(node: ast.Attribute, known: dict[str, Any]) -> Iterator[str]:
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        names.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name):
        return
    value = known.get(inner.id)
    if not _is_own(value):
        return
    written = inner.id
    for name in reversed(names):
        value, written = vars(value).get(name), f"{written}.{name}"
        if not isinstance(value, ModuleType):
            return
        if not _is_own(value):
            yield written
            return


def _is_own(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__.split(".")[0] in OWN
