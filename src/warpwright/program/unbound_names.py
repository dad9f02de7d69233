"""Names that are used and never bound, by Python's scoping and by Triton's order of reading."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from warpwright.program.resolve import Aliases
from warpwright.types.program import UndefinedName

_ALWAYS = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__builtins__", "__spec__", "__loader__", "__package__",
    "__annotations__", "__path__", "__cached__", "__debug__",
}  # fmt: skip
_IN_CLASS = frozenset({"__module__", "__qualname__", "__class__"})
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class _Load:
    name: str
    line: int
    position: int
    in_loop: bool
    may_be_skipped: bool  # in an `if` of an unrolled loop: Triton may never read it


@dataclass(slots=True)
class _Scope:
    kind: str  # "module", "function", "kernel", "class", "comprehension"
    parent: _Scope | None
    bound: dict[str, int] = field(default_factory=dict)  # name → position of first binding
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)
    loads: list[_Load] = field(default_factory=list)


def undefined_names(
    tree: ast.Module, aliases: Aliases, is_kernel: Callable[[ast.AST], bool]
) -> tuple[UndefinedName, ...]:
    """Names that reading shows to be undefined where they are used, in order of lines.

    Reported are names that no scope binds; names that module-level code reads before their
    first binding; locals read before their first binding outside any loop; and, in kernels,
    also inside loops, because Triton reads a loop's body before it has run once. Nothing is
    reported under `except NameError`, and nothing at all after a star import.
    """
    walker = _Walker(aliases, is_kernel)
    walker.walk_module(tree)
    if walker.has_star_import:
        return ()
    found = {
        (load.line, load.name)
        for scope in walker.scopes
        for load in scope.loads
        if not _is_defined(load, scope)
    }
    return tuple(UndefinedName(name, line) for line, name in sorted(found))


def _is_defined(load: _Load, scope: _Scope) -> bool:
    if load.name in _ALWAYS:
        return True
    if load.name in scope.declared_global:
        return load.name in _module_of(scope).bound
    current: _Scope | None = scope
    own = True  # reached without leaving the code block that runs now
    while current is not None:
        # Names of a class body are seen in that body alone, not in its comprehensions.
        visible = current.kind != "class" or current is scope
        if visible and load.name in current.bound and load.name not in current.declared_nonlocal:
            return not own or not _read_too_early(load, current)
        if current.kind == "class" and load.name in _IN_CLASS:
            return True
        if current.kind in ("function", "kernel"):
            own = False
            if load.name == "__class__":
                return True
        current = current.parent
    return False


def _read_too_early(load: _Load, scope: _Scope) -> bool:
    if load.position > scope.bound[load.name]:
        return False
    if scope.kind == "kernel":
        return not load.may_be_skipped
    return not load.in_loop


def _module_of(scope: _Scope) -> _Scope:
    while scope.parent is not None:
        scope = scope.parent
    return scope


class _Walker(ast.NodeVisitor):
    """Visits in order of evaluation; each binding and each load gets a position."""

    def __init__(self, aliases: Aliases, is_kernel: Callable[[ast.AST], bool]) -> None:
        self.aliases = aliases
        self.is_kernel = is_kernel
        self.has_star_import = False
        self.scopes: list[_Scope] = []
        self.position = 0
        self.loop_depth = 0
        self.static_depth = 0
        self.branch_in_static = 0
        self.guarded = 0
        self.lazy_annotations = False
        self.scope = _Scope("module", None)

    def walk_module(self, tree: ast.Module) -> None:
        self.scopes.append(self.scope)
        self.lazy_annotations = any(
            isinstance(node, ast.ImportFrom)
            and node.module == "__future__"
            and any(alias.name == "annotations" for alias in node.names)
            for node in tree.body
        )
        self.visit_all(tree.body)

    # Helpers

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def bind(self, name: str) -> None:
        self.position += 1
        scope = self.scope
        if name in scope.declared_global:
            scope = _module_of(scope)
        elif name in scope.declared_nonlocal:
            return
        scope.bound.setdefault(name, self.position)

    def load(self, name: str, line: int) -> None:
        self.position += 1
        if self.guarded:
            return
        skippable = self.branch_in_static > 0
        self.scope.loads.append(_Load(name, line, self.position, self.loop_depth > 0, skippable))

    def in_scope(self, kind: str, bound: Iterable[str], nodes: Iterable[ast.AST | None]) -> None:
        outer = self.scope
        saved = (self.loop_depth, self.static_depth, self.branch_in_static)
        if kind != "comprehension":
            self.loop_depth = self.static_depth = self.branch_in_static = 0
        self.scope = _Scope(kind, outer)
        self.scopes.append(self.scope)
        for name in bound:
            self.bind(name)
        self.visit_all(nodes)
        self.scope = outer
        self.loop_depth, self.static_depth, self.branch_in_static = saved

    # Scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(node.decorator_list)
        self.visit_all([*node.args.defaults, *node.args.kw_defaults])
        type_parameters = [p.name for p in getattr(node, "type_params", [])]
        if not self.lazy_annotations and not type_parameters:
            self.visit_all(_annotations(node.args))
            self.visit_all([node.returns])
        self.bind(node.name)
        kind = "kernel" if self.is_kernel(node) else "function"
        self.in_scope(kind, [*_argument_names(node.args), *type_parameters], node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_all([*node.args.defaults, *node.args.kw_defaults])
        self.in_scope("function", _argument_names(node.args), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        type_parameters = [p.name for p in getattr(node, "type_params", [])]
        self.visit_all(node.decorator_list)
        if not type_parameters:
            self.visit_all([*node.bases, *(keyword.value for keyword in node.keywords)])
        self.in_scope("class", type_parameters, node.body)
        self.bind(node.name)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _COMPREHENSIONS):
            self._visit_comprehension(node)
        else:
            super().generic_visit(node)

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        first = node.generators[0]
        self.visit(first.iter)  # evaluated in the enclosing scope
        inner: list[ast.AST] = [first.target, *first.ifs]
        for generator in node.generators[1:]:
            inner += [generator.iter, generator.target, *generator.ifs]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.in_scope("comprehension", (), inner)

    # Bindings

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.load(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id)
        else:
            self.load(node.id, node.lineno)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        inner = self.scope
        while self.scope.kind == "comprehension" and self.scope.parent is not None:
            self.scope = self.scope.parent
        self.bind(node.target.id)
        self.scope = inner

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self.visit_all(node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.load(node.target.id, node.target.lineno)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_all([node.value])
        # Annotations of local variables are never evaluated.
        if self.scope.kind in ("module", "class") and not self.lazy_annotations:
            self.visit(node.annotation)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.declared_global.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.declared_nonlocal.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.has_star_import = True
            else:
                self.bind(alias.asname or alias.name)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.visit_all([node.pattern])
        if node.name:
            self.bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.visit_all([*node.keys, *node.patterns])
        if node.rest:
            self.bind(node.rest)

    # Flow

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        unrolled = isinstance(node.iter, ast.Call) and (
            self.aliases.triton_name(node.iter.func) == "static_range"
        )
        self.static_depth += unrolled
        self.loop_depth += 1
        self.visit_all(node.body)
        self.loop_depth -= 1
        self.static_depth -= unrolled
        self.visit_all(node.orelse)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_While(self, node: ast.While) -> None:
        self.loop_depth += 1
        self.visit(node.test)
        self.visit_all(node.body)
        self.loop_depth -= 1
        self.visit_all(node.orelse)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        inside = self.static_depth > 0
        self.branch_in_static += inside
        self.visit_all([*node.body, *node.orelse])
        self.branch_in_static -= inside

    def visit_Try(self, node: ast.Try) -> None:
        guards = any(_catches_name_error(handler) for handler in node.handlers)
        self.guarded += guards
        self.visit_all(node.body)
        self.guarded -= guards
        self.visit_all([*node.handlers, *node.orelse, *node.finalbody])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.visit_all([node.type])
        if node.name:
            self.bind(node.name)
        self.visit_all(node.body)


def _annotations(arguments: ast.arguments) -> list[ast.expr | None]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    return [argument.annotation for argument in every]


def _argument_names(arguments: ast.arguments) -> list[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    return [argument.arg for argument in every]


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return False
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        isinstance(t, ast.Name) and t.id in ("NameError", "UnboundLocalError") for t in types
    )
