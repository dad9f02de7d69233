"""The lossless tree (libcst) of a program, and finding the same node in it as in the plain one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from warpwright.errors import InputError, InternalError, Place
from warpwright.program.parsing import SECTION, lines_of


def parse_tree(source: str) -> cst.Module:
    """The lossless tree. The source was parsed before, so a failure is a gap of libcst."""
    try:
        return cst.parse_module(source)
    except cst.ParserSyntaxError as error:
        raise InputError(
            "the program cannot be edited: its syntax is newer than this tool reads",
            place=Place(None, SECTION, error.raw_line),
            got=error.message,
            hint="write this line in the syntax of Python 3.12 or older",
        ) from None


class _Finder(cst.CSTVisitor):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.found: list[cst.FunctionDef] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802
        if node.name.value == self.name and node.decorators:
            self.found.append(node)


def find_function(tree: cst.Module, name: str) -> cst.FunctionDef:
    """The first decorated function of this name, nested ones included."""
    finder = _Finder(name)
    tree.visit(finder)
    if not finder.found:
        raise InternalError(f"the program has no decorated function named {name}")
    return finder.found[0]


Span = tuple[int, int, int, int]
"""First line and column and last line and column, in characters."""


def span_of(source: str, node: ast.expr) -> Span:
    """Where a node of the plain tree stands; `ast` counts columns in UTF-8 bytes."""
    lines = lines_of(source)

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode(errors="replace"))

    last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    return node.lineno, column(node.lineno, node.col_offset), last, column(last, end)


def calls_by_span(tree: cst.Module) -> dict[Span, cst.Call]:
    """Every call of a lossless tree. Brackets around a call are no part of its span."""
    found = expressions_by_span(tree)
    return {span: node for span, node in found.items() if isinstance(node, cst.Call)}


def expressions_by_span(tree: cst.Module) -> dict[Span, cst.BaseExpression]:
    """Every expression of a lossless tree; a tuple in brackets stands without them."""
    positions = MetadataWrapper(tree, unsafe_skip_copy=True).resolve(PositionProvider)
    return {
        (place.start.line, place.start.column, place.end.line, place.end.column): node
        for node, place in positions.items()
        if isinstance(node, cst.BaseExpression)
    }


Change = Callable[[cst.CSTNode], cst.CSTNode]


class _Replacer(cst.CSTTransformer):
    def __init__(self, changes: Mapping[cst.CSTNode, Change]) -> None:
        super().__init__()
        self._changes = changes

    def on_leave(
        self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT
    ) -> cst.CSTNodeT | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNodeT]:
        change = self._changes.get(original_node)
        if change is None:
            return updated_node
        return change(updated_node)  # type: ignore[return-value]


def replace_nodes(tree: cst.Module, changes: Mapping[cst.CSTNode, Change]) -> cst.Module:
    """The tree with nodes (told by identity) changed; all in one pass, as each pass copies."""
    changed = tree.visit(_Replacer(changes))
    assert isinstance(changed, cst.Module)
    return changed
