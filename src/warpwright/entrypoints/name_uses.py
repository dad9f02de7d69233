"""Where a statement speaks of module-level names: each place, scopes told apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one line: 1-based line, columns from 0, the end not included."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NameUse:
    """A module-level name at one place, with the attributes behind it.

    `parts`: ("utils", "calc") for `utils.calc`. `ends`: the column where each part ends, while
    they stand on one line. `stored`: it is bound here.
    """

    parts: tuple[str, ...]
    line: int
    start: int
    ends: tuple[int, ...]
    stored: bool = False

    def span(self, parts: int = 1) -> Span:
        return Span(self.line, self.start, self.ends[parts - 1])


def name_uses(statement: ast.stmt, lines: list[str]) -> list[NameUse]:
    """All module-level names that a top-level statement reads or binds, in order of places.

    `lines`: those of the file. Columns count characters, not bytes.
    """
    found: list[NameUse] = []
    _Reader(lines, found).visit(statement)
    return found


def nested_imports(statement: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
    """Import statements inside functions and blocks of a statement; itself if it is one."""
    return [n for n in ast.walk(statement) if isinstance(n, ast.Import | ast.ImportFrom)]


def local_names(statement: ast.stmt) -> set[str]:
    """All names that functions inside a statement bind: parameters, and what their bodies store."""
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found |= {argument.arg for argument in ast.walk(node.args) if _is_argument(argument)}
            found |= _local_names(node)
        elif isinstance(node, COMPREHENSIONS):
            targets = [n for g in node.generators for n in ast.walk(g.target)]
            found |= {n.id for n in targets if isinstance(n, ast.Name)}
    return found


def _is_argument(node: ast.AST) -> TypeGuard[ast.arg]:
    return isinstance(node, ast.arg)


def binds_at_module_level(statement: ast.stmt, node: ast.stmt) -> bool:
    """Whether `node`, inside a statement, binds names of the module and not of a function."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return not isinstance(statement, functions) and node in set(_within(statement))


class _Reader(ast.NodeVisitor):
    def __init__(self, lines: list[str], found: list[NameUse]) -> None:
        self._lines = lines
        self._found = found
        self._hidden: list[set[str]] = []

    def _add(self, parts: list[str], nodes: list[ast.expr], stored: bool) -> None:
        """`nodes`: the name, then the attributes around it."""
        if any(parts[0] in names for names in self._hidden):
            return
        first = nodes[0]
        kept = [node for node in nodes if node.end_lineno == first.lineno]
        ends = tuple(self._column(first.lineno, node.end_col_offset or 0) for node in kept)
        start = self._column(first.lineno, first.col_offset)
        reference = NameUse(tuple(parts[: len(ends)]), first.lineno, start, ends, stored)
        self._found.append(reference)

    def _column(self, line: int, byte: int) -> int:
        text = self._lines[line - 1]
        return byte if text.isascii() else len(text.encode()[:byte].decode(errors="ignore"))

    def visit_Name(self, node: ast.Name) -> None:
        self._add([node.id], [node], isinstance(node.ctx, ast.Store))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[ast.expr] = [node]
        parts = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner)
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._add([inner.id, *reversed(parts)], [inner, *reversed(chain)], False)
        else:
            self.visit(inner)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, None)

    def _function(self, node: Function, name: str | None) -> None:
        for decorator in getattr(node, "decorator_list", []):
            self.visit(decorator)
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            if argument.annotation is not None:
                self.visit(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        if (returns := getattr(node, "returns", None)) is not None:
            self.visit(returns)
        if name is not None:
            self._named(node, name)
        self._hidden.append({a.arg for a in every} | _local_names(node))
        for inner in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(inner)
        self._hidden.pop()

    def _named(self, node: ast.AST, name: str) -> None:
        """The name behind `def` or `class`."""
        line = getattr(node, "lineno", 0)
        text = self._lines[line - 1]
        match = re.search(rf"\b(?:def|class)\s+({re.escape(name)})\b", text)
        if match is None or any(name in names for names in self._hidden):
            return
        self._found.append(NameUse((name,), line, match.start(1), (match.end(1),), True))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outer in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(outer)
        self._named(node, node.name)
        # Names of a class's body are seen in the body alone, not in its methods.
        own = {n for inner in node.body for n in _stored(inner)}
        for inner in node.body:
            methods = (ast.FunctionDef, ast.AsyncFunctionDef)
            self._hidden.append({inner.name} if isinstance(inner, methods) else own)
            self.visit(inner)
            self._hidden.pop()

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, COMPREHENSIONS):
            super().generic_visit(node)
            return
        targets = [n for g in node.generators for n in ast.walk(g.target)]
        self._hidden.append({n.id for n in targets if isinstance(n, ast.Name)})
        super().generic_visit(node)
        self._hidden.pop()


def _local_names(function: Function) -> set[str]:
    """Names that a function binds, without those that it declares global."""
    body = function.body if isinstance(function.body, list) else [function.body]
    found = {name for inner in body for name in _stored(inner)}
    declared = {n for inner in body for node in _within(inner) for n in _globals(node)}
    return found - declared


def _globals(node: ast.AST) -> list[str]:
    return node.names if isinstance(node, ast.Global) else []


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it that belong to the same scope."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, COMPREHENSIONS):
        return
    for child in ast.iter_child_nodes(node):
        yield from _within(child)


def _stored(node: ast.AST) -> Iterator[str]:
    for inner in _within(node):
        match inner:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (a.asname or a.name.split(".")[0] for a in names)
