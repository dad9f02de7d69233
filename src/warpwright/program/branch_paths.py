"""Under which branches the statements of a kernel stand, and the kernel with one of them taken.

    if inside:                           with the other branch taken
        x = tl.load(p)
    else:                          →         x = tl.load(p, mask=m)
        x = tl.load(p, mask=m)

Of an `if` outside of loops each block runs one branch, so what stands in the other is not run
beside it. An `if` in a loop is asked in each step.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.program.nodes import clone

Place = tuple[int, int]
"""Line and column of an `if`."""


@dataclass(frozen=True, slots=True)
class Way:
    """One `if` around a statement, and whether its test holds there."""

    place: Place
    holds: bool
    in_loop: bool = False


Path = tuple[Way, ...]
"""Each `if` around a statement, the outermost first."""


def branch_paths(node: ast.AST) -> dict[ast.AST, Path]:
    """The path of every node in a kernel; nodes are told apart by identity."""
    found: dict[ast.AST, Path] = {}
    _walk(node, (), False, found)
    return found


def _walk(node: ast.AST, path: Path, in_loop: bool, found: dict[ast.AST, Path]) -> None:
    found[node] = path
    if not isinstance(node, ast.If):
        inside = in_loop or isinstance(node, ast.For | ast.While)
        for child in ast.iter_child_nodes(node):
            _walk(child, path, inside, found)
        return
    _walk(node.test, path, in_loop, found)
    for holds, body in ((True, node.body), (False, node.orelse)):
        way = Way((node.lineno, node.col_offset), holds, in_loop)
        for statement in body:
            _walk(statement, (*path, way), in_loop, found)


def exclusive(one: Path, other: Path) -> bool:
    """Whether no block runs both, in whichever steps of its loops."""
    ways = {way.place: way.holds for way in one if not way.in_loop}
    return any(ways.get(way.place, way.holds) is not way.holds for way in other)


def most_in_a_block(paths: Sequence[Path]) -> int:
    """How many statements with these paths one block runs at most, in one step of each loop."""
    alone = sum(not path for path in paths)
    below: dict[Place, dict[bool, list[Path]]] = defaultdict(lambda: {True: [], False: []})
    for path in paths:
        if path:
            below[path[0].place][path[0].holds].append(path[1:])
    return alone + sum(max(map(most_in_a_block, ways.values())) for ways in below.values())


def branches_around(node: ast.AST, line: int) -> Iterator[tuple[ast.If, bool]]:
    """Each `if` of which a branch holds the line, the outermost first, and which branch that is."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.If):
            for holds, body in ((True, inner.body), (False, inner.orelse)):
                if is_in(body, line):
                    yield inner, holds


def is_in(body: Sequence[ast.stmt], line: int) -> bool:
    """Whether a line lies among the statements."""
    return bool(body) and body[0].lineno <= line <= (body[-1].end_lineno or body[-1].lineno)


def with_branch(node: ast.FunctionDef, branch: ast.If, holds: bool) -> ast.FunctionDef:
    """A copy of the kernel in which an `if` of it is one of its branches; lines stay."""
    taken = _Taking((branch.lineno, branch.col_offset), holds).visit(clone(node))
    assert isinstance(taken, ast.FunctionDef)
    return taken


class _Taking(ast.NodeTransformer):
    def __init__(self, place: Place, holds: bool) -> None:
        self._place = place
        self._holds = holds

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if (node.lineno, node.col_offset) != self._place:
            return node
        return (node.body if self._holds else node.orelse) or [ast.copy_location(ast.Pass(), node)]


def ways(node: ast.FunctionDef, most: int) -> tuple[ast.FunctionDef, ...]:
    """The kernel with each `if` outside of loops decided, in every combination; as it is where
    there are more than `most`."""
    found = [node]
    while len(found) <= most:
        branches = [next(_outside_loops(each), None) for each in found]
        if not any(branches):
            return tuple(found)
        found = [
            way
            for each, branch in zip(found, branches, strict=True)
            for way in (
                [each]
                if branch is None
                else [with_branch(each, branch, holds) for holds in (True, False)]
            )
        ]
    return (node,)


def _outside_loops(node: ast.AST) -> Iterator[ast.If]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If):
            yield child
        elif not isinstance(child, ast.For | ast.While):
            yield from _outside_loops(child)
