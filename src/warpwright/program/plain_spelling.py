"""The plain spelling: what a program takes from Triton, as `triton.x` and `tl.x`.

    from triton import jit as kernel            k = triton.jit             import triton as t

    @kernel           @k           @t.jit           →   @triton.jit

Readers, comparisons and checks work on the plain tree, so that no spelling hides anything from
one of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from warpwright.program.evaluate import outside_functions
from warpwright.program.resolve import Aliases, literal_getattr

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_LANGUAGE = "triton.language"


def spell_plainly(tree: ast.Module, aliases: Aliases) -> None:
    """Changes the tree in place. Nodes keep the positions of what they stand for."""
    _PlainNames(aliases).visit(tree)


def rename_plainly(tree: ast.Module, names: dict[str, str]) -> None:
    """Replaces module-level names by others wherever they are read, in place."""
    if names:
        _Renamed(names).visit(tree)


def bound_in(function: FunctionNode | ast.Lambda) -> set[str]:
    """Names that the function itself binds: parameters and assignments."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    names = {argument.arg for argument in every}
    if isinstance(function, ast.Lambda):
        return names
    for statement in function.body:
        for node in outside_functions(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
    return names


class _Scoped(ast.NodeTransformer):
    """Walks with the set of names that a scope binds itself, and so hides."""

    def __init__(self) -> None:
        self.hidden: frozenset[str] = frozenset()

    def own_names(self, function: FunctionNode | ast.Lambda) -> set[str]:
        return bound_in(function)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: FunctionNode) -> ast.AST:
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        node.args = self.visit(node.args)
        node.returns = self.visit(node.returns) if node.returns is not None else None
        outer = self.hidden
        self.hidden = outer | self.own_names(node)
        node.body = [self.visit(statement) for statement in node.body]
        self.hidden = outer
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self.visit(node.args)
        outer = self.hidden
        self.hidden = outer | self.own_names(node)
        node.body = self.visit(node.body)
        self.hidden = outer
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            return super().generic_visit(node)
        outer = self.hidden
        targets = (part for generator in node.generators for part in ast.walk(generator.target))
        self.hidden = outer | {part.id for part in targets if isinstance(part, ast.Name)}
        super().generic_visit(node)
        self.hidden = outer
        return node


class _PlainNames(_Scoped):
    def __init__(self, aliases: Aliases) -> None:
        super().__init__()
        self._aliases = aliases

    def own_names(self, function: FunctionNode | ast.Lambda) -> set[str]:
        """Names that stand for something else in the function than in the module."""
        names = bound_in(function)
        return names - _aliased(function, names, self._aliases)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._plain(node) or node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._plain(node) or self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        spelled = self._plain(node) if literal_getattr(node) is not None else None
        return spelled or self.generic_visit(node)

    def _plain(self, node: ast.expr) -> ast.expr | None:
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return None
        root = _root(node)
        if root is None or root in self.hidden:
            return None
        path = self._aliases.path(node)
        if path is None or path.split(".")[0] != "triton":
            return None
        return _spelled(path, node)


class _Renamed(_Scoped):
    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        new = self._names.get(node.id)
        if new is None or node.id in self.hidden or not isinstance(node.ctx, ast.Load):
            return node
        return ast.copy_location(ast.Name(new, ast.Load()), node)


def _aliased(
    function: FunctionNode | ast.Lambda, names: Iterable[str], aliases: Aliases
) -> set[str]:
    """The function's own names that only ever stand for one thing of Triton: `ld = tl.load`."""
    if isinstance(function, ast.Lambda):
        return set()
    arguments = function.args
    parameters = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    nodes = [node for statement in function.body for node in outside_functions(statement)]
    plain: dict[str, int] = {}
    for node in nodes:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        path = aliases.path(node.value)
        if isinstance(target, ast.Name) and path is not None and path == aliases.path(target):
            plain[target.id] = plain.get(target.id, 0) + 1
    stores: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores[node.id] = stores.get(node.id, 0) + 1
    return {n for n in names if n not in parameters and plain.get(n) and plain[n] == stores.get(n)}


def _root(node: ast.AST) -> str | None:
    """The name that an expression starts from."""
    while not isinstance(node, ast.Name):
        literal = literal_getattr(node)
        if isinstance(node, ast.Attribute):
            node = node.value
        elif literal is not None:
            node = literal[0]
        else:
            return None
    return node.id


def _spelled(path: str, node: ast.expr) -> ast.expr:
    if path == _LANGUAGE or path.startswith(_LANGUAGE + "."):
        path = "tl" + path[len(_LANGUAGE) :]
    first, *rest = path.split(".")
    made: ast.expr = ast.copy_location(ast.Name(first, ast.Load()), node)
    for part in rest:
        made = ast.copy_location(ast.Attribute(made, part, ast.Load()), node)
    return made
