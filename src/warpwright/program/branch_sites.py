"""The places where a program chooses its way, and a program that tells which ways it takes.

A site is the test of an `if`, of a conditional expression or of a `while`, the body of a `for`,
or which argument of a `min` or `max` decides. `observed` puts a call around each, which a child
gives a meaning to; lines stay where they are, so that errors and Triton's own reading of a
kernel's source find what they would find without it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

TEST = "_warpwright_test"
CHOICE = "_warpwright_choice"
CHOOSING = {"min": "min", "minimum": "min", "max": "max", "maximum": "max"}

Outcome = tuple[int, str, str, bool]
"""A site's line, kind and text, and which way it took.

True: the test holds, the body of a loop runs, the first argument is the one chosen.
"""


@dataclass(frozen=True, slots=True)
class Site:
    """One place. `kind`: "if", "while", "for", "min" or "max". `text`: of the test, the iterable
    or the call, as Python writes it.

    `runs`: which outcomes have code of their own that does something else than raise.
    `function` is the innermost one around it, None in a module's own lines.
    """

    line: int
    kind: str
    text: str
    runs: tuple[bool, ...]
    function: str | None = None

    def outcome(self, way: bool) -> Outcome:
        return self.line, self.kind, self.text, way


def read_outcomes(entries: Iterable[Sequence[Any]]) -> frozenset[Outcome]:
    """Outcomes as a child's result has them."""
    return frozenset(
        (int(line), str(kind), str(text), bool(way)) for line, kind, text, way in entries
    )


def branch_sites(tree: ast.AST) -> tuple[Site, ...]:
    """Every site of a program, in the order of its text."""
    found = dict.fromkeys(_sites(tree, None))
    return tuple(sorted(found, key=lambda site: site.line))


def _sites(node: ast.AST, function: str | None) -> Iterator[Site]:
    for child in ast.iter_child_nodes(node):
        site = site_of(child, function)
        if site is not None:
            yield site
        named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from _sites(child, getattr(child, "name", function) if named else function)


@cache
def site_of(node: ast.AST, function: str | None = None) -> Site | None:
    """The site that a node is, or None."""
    if isinstance(node, ast.If):
        ways = ((True, node.body), (False, node.orelse))
        runs = tuple(way for way, body in ways if body and not _only_raises(body))
        return Site(node.lineno, "if", ast.unparse(node.test), runs, function)
    if isinstance(node, ast.IfExp):
        return Site(node.lineno, "if", ast.unparse(node.test), (True, False), function)
    if isinstance(node, ast.While):
        return Site(node.lineno, "while", ast.unparse(node.test), (True,), function)
    if isinstance(node, ast.For):
        return Site(node.lineno, "for", ast.unparse(node.iter), (True,), function)
    if isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        kind = CHOOSING.get(_last_name(node.func))
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        if kind is not None and not starred and not _is_method(node.func):
            return Site(node.lineno, kind, ast.unparse(node), (), function)
    return None


def _last_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_method(function: ast.expr) -> bool:
    """`tl.minimum` is a function of a module; `x.max` and `torch.max` are something else."""
    return isinstance(function, ast.Attribute) and not function.attr.endswith("imum")


def _only_raises(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Raise) or all(
        isinstance(statement, (ast.Pass, ast.Assert)) for statement in body
    )


def observed(tree: ast.Module) -> ast.Module:
    """The tree, changed in place, with `TEST(site, value)` around each test and
    `CHOICE(site, function, first, second)` instead of each choice."""
    _Observer().visit(tree)
    return ast.fix_missing_locations(tree)


class _Observer(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST:
        return self._with_test(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._with_test(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._with_test(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        site = site_of(node)
        self.generic_visit(node)
        assert site is not None
        told = ast.Expr(_call(TEST, site, [ast.Constant(True)]))
        node.body.insert(0, ast.copy_location(told, node))
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        site = site_of(node)
        self.generic_visit(node)
        if site is None:
            return node
        return ast.copy_location(_call(CHOICE, site, [node.func, *node.args]), node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node  # defaults and annotations are read before a child can give names a meaning

    def _with_test(self, node: ast.If | ast.IfExp | ast.While) -> ast.AST:
        site = site_of(node)
        self.generic_visit(node)
        assert site is not None
        node.test = ast.copy_location(_call(TEST, site, [node.test]), node.test)
        return node


def _call(name: str, site: Site, arguments: list[ast.expr]) -> ast.Call:
    parts = [ast.Constant(part) for part in (site.line, site.kind, site.text)]
    key = ast.Tuple(list(parts), ast.Load())
    return ast.Call(ast.Name(name, ast.Load()), [key, *arguments], [])
