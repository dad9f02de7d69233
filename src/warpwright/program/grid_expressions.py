"""Host expressions in one canonical form, so that a grid written otherwise is the same grid.

`lambda META: (triton.cdiv(n, META["BLOCK"]),)`, the same with single quotes, `(n + BLOCK - 1)
// BLOCK`, and a local `def grid(meta)` all mean one thing; what differs after this is another
grid.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.program.nodes import clone, rounded_up
from warpwright.program.parsing import expression_of
from warpwright.types.config import MetaValue
from warpwright.types.program import LaunchSite

_CDIV = ("cdiv", "ceil_div", "ceildiv")
_KEEP_SHAPE = frozenset(
    {"contiguous", "to", "float", "half", "bfloat16", "detach", "clone", "cuda"}
)
_DEEPEST = 12  # names that stand for names that stand for names


Names = Mapping[str, MetaValue | ast.expr]


def canonical_grid(site: LaunchSite, names: Names, tile: Mapping[str, MetaValue]) -> str | None:
    """The canonical text of a launch's grid, None where it cannot be read as an expression.

    `names` maps local names to what they are assigned once, `tile` the meta-parameters of one
    config to their values; both are put in their place.
    """
    tree = _grid(site)
    if tree is None:
        return None
    body, meta = _body(tree, names)
    if body is None:
        return None
    node = _Canonical(meta, names, tile).visit(clone(body))
    if isinstance(node, (ast.List, ast.Tuple)):
        extents = [ast.unparse(item) for item in node.elts]
        while len(extents) > 1 and extents[-1] == "1":
            extents.pop()  # a trailing 1 launches the same blocks
        return ", ".join(extents)
    return ast.unparse(node)


def uses_meta(site: LaunchSite, names: Names) -> bool:
    """True if the grid is a function of the meta-parameters: a lambda or a function."""
    tree = _grid(site)
    return tree is not None and bool(_body(tree, names)[1])


def canonical_value(node: ast.expr, names: Names) -> ast.expr:
    """An expression with local names put in their place."""
    value = _Canonical(frozenset(), names).visit(clone(node))
    assert isinstance(value, ast.expr)
    return value


def grid_extents(site: LaunchSite, names: Names) -> tuple[ast.expr, ...] | None:
    """The extents of a grid that is a readable tuple, each in the canonical form."""
    tree = _grid(site)
    if tree is None:
        return None
    body, meta = _body(tree, names)
    if not isinstance(body, (ast.Tuple, ast.List)):
        return None
    return tuple(_Canonical(meta, names).visit(clone(extent)) for extent in body.elts)


def _grid(site: LaunchSite) -> ast.expr | ast.FunctionDef | None:
    node = site.grid_node or expression_of(site.grid)
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    if any(isinstance(part, ast.Slice) for part in parts):
        return None
    return node if isinstance(node, ast.expr | ast.FunctionDef) else None


def _body(node: ast.expr | ast.FunctionDef, names: Names) -> tuple[ast.expr | None, frozenset[str]]:
    """The tuple that a grid gives, and the name of its META argument."""
    for _ in range(_DEEPEST):
        if isinstance(node, ast.Lambda):
            return node.body, frozenset(a.arg for a in node.args.args)
        if isinstance(node, ast.FunctionDef):
            return _returned(node), frozenset(a.arg for a in node.args.args)
        if not isinstance(node, ast.Name):
            break
        value = names.get(node.id)
        if not isinstance(value, ast.expr):
            break
        node = value
    return (node if isinstance(node, ast.expr) else None), frozenset()


def _returned(function: ast.FunctionDef) -> ast.expr | None:
    """What a small grid function returns, its own local names put in their place."""
    local: dict[str, ast.expr] = {}
    for statement in function.body:
        if isinstance(statement, ast.Return):
            if statement.value is None:
                return None
            return _Canonical(frozenset(), local).visit(clone(statement.value))  # type: ignore[no-any-return]
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                local[target.id] = statement.value
                continue
        if not isinstance(statement, ast.Expr):
            return None
    return None


class _Canonical(ast.NodeTransformer):
    """META["X"] → X, cdiv in all its spellings → cdiv(a, b), local names → their values."""

    def __init__(
        self, meta: frozenset[str], names: Names, tile: Mapping[str, MetaValue] | None = None
    ) -> None:
        self.meta = meta
        self.names = names
        self.tile = tile or {}
        self.open: list[str] = []

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        index = node.slice
        if (
            isinstance(node.value, ast.Name)
            and node.value.id in self.meta
            and isinstance(index, ast.Constant)
            and isinstance(index.value, str)
        ):
            value = self.tile.get(index.value)
            if isinstance(value, int):
                return ast.Constant(value)
            return ast.Name(index.value, ast.Load())
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.names.get(node.id)
        if value is None or node.id in self.open or len(self.open) > _DEEPEST:
            return node
        if not isinstance(value, ast.expr):
            return ast.Constant(value)
        if not _is_arithmetic(value):
            return node
        self.open.append(node.id)
        result = self.visit(clone(value))
        self.open.pop()
        return result  # type: ignore[no-any-return]

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _KEEP_SHAPE:
            return self.visit(node.func.value)  # type: ignore[no-any-return]
        self.generic_visit(node)
        name = ast.unparse(node.func).split(".")[-1]
        if name in _CDIV and len(node.args) == 2:
            return ast.Call(ast.Name("cdiv", ast.Load()), node.args, [])
        if name == "size" and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            shape = ast.Attribute(node.func.value, "shape", ast.Load())
            return ast.Subscript(shape, node.args[0], ast.Load())
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        whole = rounded_up(node)
        if whole is None:
            return node
        return ast.Call(ast.Name("cdiv", ast.Load()), [whole, node.right], [])


def _is_arithmetic(value: ast.expr) -> bool:
    """Sizes and sums of sizes: what may be put in the place of its name."""
    allowed = (
        ast.Name, ast.Constant, ast.BinOp, ast.operator, ast.expr_context, ast.Call,
        ast.Attribute, ast.Subscript, ast.UnaryOp, ast.unaryop, ast.Tuple,
    )  # fmt: skip
    return all(isinstance(node, allowed) for node in ast.walk(value))
