"""Which names a top-level statement binds, and which it reads while the module is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class ImportTime:
    """`bound`: names that the statement gives the module. `read`: those that it needs at import,
    which for a function are its decorators, defaults and annotations. `inner`: every name in it,
    for when it is called. `calls`: it calls something at import. `changes`: it changes something
    that it does not bind (an attribute, an element, a name bound before)."""

    bound: frozenset[str]
    read: frozenset[str]
    inner: frozenset[str]
    calls: bool
    changes: bool


def import_time(node: ast.stmt) -> ImportTime:
    """What one top-level statement binds and reads at import; bodies of functions do not run."""
    run = list(_run_at_import(node))
    stored = [n for n in run if isinstance(n, (ast.Attribute, ast.Subscript))]
    return ImportTime(
        bound=frozenset(_bound(node)),
        read=frozenset(n.id for n in run if isinstance(n, ast.Name)),
        inner=frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name)),
        calls=any(isinstance(n, ast.Call) for n in run),
        changes=isinstance(node, (ast.AugAssign, ast.Delete))
        or any(not isinstance(n.ctx, ast.Load) for n in stored),
    )


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that the statement binds in the module, also inside `if` and `try`."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((a.asname or a.name).split(".")[0] for a in node.names)
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif not isinstance(node, (*_SCOPES, *_COMPREHENSIONS)):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the statement does."""
    yield node
    parts: list[ast.AST | None]
    if isinstance(node, _SCOPES):
        arguments = node.args
        parts = [*arguments.defaults, *arguments.kw_defaults]
        if not isinstance(node, ast.Lambda):
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
            parts += [*node.decorator_list, *(a.annotation for a in every), node.returns]
    else:
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        if part is not None:
            yield from _run_at_import(part)
