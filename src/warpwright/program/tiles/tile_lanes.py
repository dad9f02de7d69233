"""Which names and expressions of a kernel have the lanes of a tile in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_ROUNDS = 12  # of names that stand for names
MEMORY = ("tl.load", "tl.store")
SUMS = ("tl.sum", "tl.dot")
EXTREMES = ("tl.max", "tl.min", "tl.argmax", "tl.argmin", "tl.reduce")


class TileLanes:
    """The lanes of one tile of a kernel in the plain spelling: of `tl.arange(0, tile)`.

    By name and assignment, in no order: a name that has them anywhere has them everywhere.
    """

    def __init__(self, node: ast.FunctionDef, tile: str) -> None:
        self.node = node
        self.tile = tile
        self.values = _values(node)
        self.indices = self._names(tile)
        self.unwrapped = self._names(tile, wrapped=False)
        self.of_any_tile = self._names(None)
        self.valued = self._valued()

    def _names(self, tile: str | None, wrapped: bool = True) -> set[str]:
        """Names whose value depends on such lanes, but for what was loaded or reduced."""
        found: set[str] = set()
        for _ in range(_ROUNDS):
            before = len(found)
            for target, value in assigned(self.node):
                nodes = index_nodes(value, wrapped)
                if any(is_lanes(n, tile) or _is_name(n, found) for n in nodes):
                    found.add(target)
            if len(found) == before:
                break
        return found

    def _valued(self) -> set[str]:
        """Names of values that have lanes of the tile, loaded ones included."""
        found = set(self.indices)
        for _ in range(_ROUNDS):
            before = len(found)
            for target, value in assigned(self.node):
                if self._in(value, found):
                    found.add(target)
            if len(found) == before:
                break
        return found

    def index(self, node: ast.AST, wrapped: bool = True) -> bool:
        """Whether lanes take part in an index; `wrapped`: also those under `index % size`."""
        names = self.indices if wrapped else self.unwrapped
        nodes = index_nodes(node, wrapped)
        return any(is_lanes(n, self.tile) or _is_name(n, names) for n in nodes)

    def value(self, node: ast.AST) -> bool:
        """Whether lanes take part in a value, by what is loaded too."""
        return self._in(node, self.valued)

    def _in(self, node: ast.AST, names: set[str]) -> bool:
        return any(is_lanes(n, self.tile) or _is_name(n, names) for n in ast.walk(node))

    def of_any(self, node: ast.AST) -> bool:
        """Whether lanes of any tile take part in an index."""
        nodes = index_nodes(node)
        return any(is_lanes(n, None) or _is_name(n, self.of_any_tile) for n in nodes)


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each name that is assigned, with the value; what `+=` adds is one too."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id, inner.value
        elif (
            isinstance(inner, (ast.AnnAssign, ast.AugAssign))
            and inner.value is not None
            and isinstance(inner.target, ast.Name)
        ):
            yield inner.target.id, inner.value


def _values(node: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for name, value in assigned(node):
        found.setdefault(name, []).append(value)
    return found


def index_nodes(node: ast.AST, wrapped: bool = True) -> Iterator[ast.AST]:
    """The nodes of an expression of indices: what was loaded or reduced is not entered.

    Without `wrapped` neither is `index % size` of a size that is a name.
    """
    if isinstance(node, ast.Call) and ast.unparse(node.func) in (*MEMORY, *SUMS, *EXTREMES):
        return
    modulo = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
    if not wrapped and modulo and isinstance(node, ast.BinOp) and isinstance(node.right, ast.Name):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from index_nodes(child, wrapped)


def is_lanes(node: ast.AST, tile: str | None) -> bool:
    """`tl.arange(0, tile)`; of any tile where None."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "tl.arange":
        return False
    return tile is None or any(
        isinstance(n, ast.Name) and n.id == tile
        for argument in node.args
        for n in ast.walk(argument)
    )


def calls_in(node: ast.AST) -> Iterator[ast.Call]:
    return (n for n in ast.walk(node) if isinstance(n, ast.Call))


def _is_name(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names
