"""Host expressions in one canonical form, so that a grid written otherwise is the same grid.

`lambda META: (triton.cdiv(n, META["BLOCK"]),)`, the same with single quotes, `(n + BLOCK - 1)
// BLOCK`, and a local `def grid(meta)` all mean one thing; what differs after this is another
grid.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.syntax import syntax_tree
from warpwright.types.config import MetaValue

_CDIV = ("cdiv", "ceil_div", "ceildiv")
_KEEP_SHAPE = frozenset(
    {"contiguous", "to", "float", "half", "bfloat16", "detach", "clone", "cuda"}
)
_DEEPEST = 12  # names that stand for names that stand for names


Names = Mapping[str, MetaValue | ast.expr]


def canonical_grid(text: str, names: Names, tile: Mapping[str, MetaValue]) -> str | None:
    """The canonical text of a grid, or None where it cannot be read as an expression.

    `names` maps local names to what they are assigned once, `tile` the meta-parameters of one
    config to their values; both are put in their place.
    """
    tree = _expression(text)
    if tree is None:
        return None
    body, meta = _body(tree, names)
    if body is None:
        return None
    node = _Canonical(meta, names, tile).visit(_copy(body))
    if isinstance(node, (ast.List, ast.Tuple)):
        extents = [ast.unparse(item) for item in node.elts]
        while len(extents) > 1 and extents[-1] == "1":
            extents.pop()  # a trailing 1 launches the same blocks
        return ", ".join(extents)
    return ast.unparse(node)


def uses_meta(text: str, names: Names) -> bool:
    """True if the grid is a function of the meta-parameters: a lambda or a function."""
    tree = _expression(text)
    return tree is not None and bool(_body(tree, names)[1])


def canonical_value(text: str, names: Names) -> str:
    """An expression with local names put in their place; the text itself if it has none."""
    tree = _expression(text)
    if not isinstance(tree, ast.expr):
        return text
    return ast.unparse(_Canonical(frozenset(), names).visit(_copy(tree)))


def grid_extents(text: str, names: Names) -> tuple[str, ...] | None:
    """The extents of a grid that is a readable tuple, each as canonical text."""
    tree = _expression(text)
    if tree is None:
        return None
    body, meta = _body(tree, names)
    if not isinstance(body, (ast.Tuple, ast.List)):
        return None
    return tuple(ast.unparse(_Canonical(meta, names).visit(_copy(e))) for e in body.elts)


def _expression(text: str) -> ast.expr | ast.FunctionDef | None:
    try:
        tree = syntax_tree(text.strip())
    except (SyntaxError, ValueError):
        return None
    if len(tree.body) != 1:
        return None
    node = tree.body[0]
    if isinstance(node, ast.Expr):
        return node.value
    return node if isinstance(node, ast.FunctionDef) else None


def _copy(node: ast.expr) -> ast.expr:
    return syntax_tree(ast.unparse(node), "eval").body


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
            return _Canonical(frozenset(), local).visit(_copy(statement.value))  # type: ignore[no-any-return]
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
        result = self.visit(_copy(value))
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
        if isinstance(node.op, ast.FloorDiv):
            top = _rounded_up(node.left, ast.unparse(node.right))
            if top is not None:
                return ast.Call(ast.Name("cdiv", ast.Load()), [top, node.right], [])
        return node


def _is_arithmetic(value: ast.expr) -> bool:
    """Sizes and sums of sizes: what may be put in the place of its name."""
    allowed = (
        ast.Name, ast.Constant, ast.BinOp, ast.operator, ast.expr_context, ast.Call,
        ast.Attribute, ast.Subscript, ast.UnaryOp, ast.unaryop, ast.Tuple,
    )  # fmt: skip
    return all(isinstance(node, allowed) for node in ast.walk(value))


def _rounded_up(node: ast.expr, divisor: str) -> ast.expr | None:
    """`a` of `a + b - 1` and `a + (b - 1)`, where `b` is the divisor."""
    if not isinstance(node, ast.BinOp):
        return None
    if isinstance(node.op, ast.Sub) and ast.unparse(node.right) == "1":
        inner = node.left
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
            for first, second in ((inner.left, inner.right), (inner.right, inner.left)):
                if ast.unparse(second) == divisor:
                    return first
    if isinstance(node.op, ast.Add) and ast.unparse(node.right) == f"{divisor} - 1":
        return node.left
    return None


def expression_names(text: str) -> frozenset[str]:
    """The names that an expression uses; none where it does not parse."""
    tree = _expression(text)
    if tree is None:
        return frozenset()
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
