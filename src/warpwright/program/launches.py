"""Launch sites in host code: which kernel, which grid, which arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.program.evaluate import outside_functions
from warpwright.program.kernel_forms import sole_return
from warpwright.program.parsed import HostFunction, ParsedProgram, once
from warpwright.program.parsing import text_of
from warpwright.program.splats import Splats
from warpwright.types.program import LaunchSite

MODULE = "<module>"


@dataclass(frozen=True, slots=True)
class LaunchNode:
    """A launch as found in the tree; `definitions` are the nodes that define its grid.

    `arguments` and `keywords` are the call's, with `*` and `**` written out where they can be.
    """

    kernel: str
    function: HostFunction | None
    call: ast.Call
    grid: ast.expr | None
    definitions: tuple[ast.stmt, ...]  # the statements, where the grid is a local name
    arguments: tuple[ast.expr, ...] = ()
    keywords: tuple[ast.keyword, ...] = ()


@once
def find_launches(program: ParsedProgram) -> tuple[LaunchNode, ...]:
    """Every `kernel[grid](...)` in host code, in order of lines."""
    found: list[LaunchNode] = []
    module_scope = _Bindings(program, None)
    scopes: list[tuple[HostFunction | None, list[ast.stmt]]] = [(None, program.tree.body)]
    scopes += [(function, function.node.body) for function in program.host_functions]
    for function, body in scopes:
        bindings = _Bindings(program, function)
        excluded = _excluded(body)
        for statement in body:
            for node in _own_nodes(statement):
                if isinstance(node, ast.Call):
                    others = excluded.get(node, frozenset())
                    launches = _launches_of(node, function, bindings, module_scope)
                    found += [launch for launch in launches if launch.kernel not in others]
    return tuple(sorted(found, key=lambda launch: (launch.call.lineno, launch.call.col_offset)))


def _excluded(body: list[ast.stmt]) -> dict[ast.AST, frozenset[str]]:
    """Launches through a name → what the name does not stand for there, by an `if` around them:
    `kernel[grid](…)` in the `else` of `if kernel is one:` launches no `one`."""
    found: dict[ast.AST, frozenset[str]] = {}
    for test in (node for statement in body for node in ast.walk(statement)):
        if not isinstance(test, ast.If) or (pair := _identity(test.test)) is None:
            continue
        name, kernel, holds = pair
        if any(isinstance(n, ast.Name) and n.id == name and _is_stored(n) for n in ast.walk(test)):
            continue
        for statement in test.orelse if holds else test.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _launches_name(node, name):
                    found[node] = found.get(node, frozenset()) | {kernel}
    return found


def _identity(test: ast.expr) -> tuple[str, str, bool] | None:
    """`name is kernel` (True) or `name is not kernel` (False); None for another test."""
    match test:
        case ast.Compare(ast.Name(name), [ast.Is() | ast.IsNot() as how], [ast.Name(kernel)]):
            return name, kernel, isinstance(how, ast.Is)
    return None


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _launches_name(call: ast.Call, name: str) -> bool:
    match call.func:
        case ast.Subscript(ast.Name(launched)):
            return launched == name
    return False


def read_launches(program: ParsedProgram) -> tuple[LaunchSite, ...]:
    """Launch sites as facts."""
    return tuple(_site(launch) for launch in find_launches(program))


def _site(launch: LaunchNode) -> LaunchSite:
    call = launch.call
    values = grid_values(launch)
    texts = dict.fromkeys(text_of(value) for value in values)
    keywords = {k.arg or "**": k.value for k in launch.keywords if k.arg != "grid"}
    ranks = {rank for value in values for rank in _ranks(value)}
    return LaunchSite(
        kernel=launch.kernel,
        function=launch.function.name if launch.function else MODULE,
        line=call.lineno,
        grid=" or ".join(texts),
        grid_rank=ranks.pop() if len(ranks) == 1 else None,
        arguments=tuple(text_of(argument) for argument in launch.arguments),
        keywords={name: text_of(value) for name, value in keywords.items()},
        grid_node=values[0] if len(texts) == 1 else None,
        argument_nodes=launch.arguments,
        keyword_nodes=keywords,
    )


def grid_values(launch: LaunchNode) -> tuple[ast.AST, ...]:
    """The nodes that define the grid: one, or several where branches assign it.

    A `def grid(meta): return (...)` of one statement reads as the same lambda; a longer one
    stays a function.
    """
    if not launch.definitions:
        return (launch.grid,) if launch.grid is not None else ()
    return tuple(value for value in map(_defining_value, launch.definitions) if value is not None)


def _defining_value(statement: ast.stmt) -> ast.AST | None:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        returned = sole_return(statement)
        return statement if returned is None else ast.Lambda(statement.args, returned)
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return statement.value
    return None


def _ranks(value: ast.AST) -> list[int | None]:
    """Number of dimensions of each tuple that the grid can be; None where it is no tuple."""
    if isinstance(value, ast.FunctionDef):
        returns = [s.value for s in _statements(value) if isinstance(s, ast.Return) and s.value]
        return [rank for returned in returns for rank in _ranks(returned)] or [None]
    if isinstance(value, ast.Lambda):
        value = value.body
    if isinstance(value, ast.IfExp):
        return [*_ranks(value.body), *_ranks(value.orelse)]
    if isinstance(value, (ast.Tuple, ast.List)):
        starred = any(isinstance(item, ast.Starred) for item in value.elts)
        return [None if starred else len(value.elts)]
    return [None]


def _launches_of(
    call: ast.Call, function: HostFunction | None, local: _Bindings, module: _Bindings
) -> list[LaunchNode]:
    subscript, grid = call.func, None
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("run", "warmup"):
        grid = next((k.value for k in call.keywords if k.arg == "grid"), None)
        kernels = local.kernels(call.func.value) if grid is not None else ()
    else:
        if isinstance(subscript, ast.Name):
            # `launch = kernel[grid]; launch(...)`
            subscript = local.value(subscript.id, call.lineno) or subscript
        if not isinstance(subscript, ast.Subscript):
            return []
        grid = subscript.slice
        kernels = local.kernels(subscript.value)
    definitions: tuple[ast.stmt, ...] = ()
    if isinstance(grid, ast.Name):
        definitions = local.definitions(grid.id, call.lineno)
        if not definitions:
            definitions = module.definitions(grid.id, None)
    if not kernels:
        return []
    splats = Splats(local.program, function)
    passed = splats.arguments(call), splats.keywords(call)
    return [LaunchNode(k, function, call, grid, definitions, *passed) for k in kernels]


class _Bindings:
    """What names mean in one host function (and the functions around it)."""

    def __init__(self, program: ParsedProgram, function: HostFunction | None) -> None:
        self.program = self._program = program
        self._kernel_names = frozenset(program.kernel_names)
        self._function = function
        nodes = [] if function is None else [*function.outer, function.node]
        self._bodies = [node.body for node in reversed(nodes)] or [program.tree.body]

    def definitions(self, name: str, before: int | None) -> tuple[ast.stmt, ...]:
        """Statements that define `name`: those of the innermost scope that has any.

        Where one of them stands at the top level of its body, earlier ones are overwritten
        by it and left out.
        """
        for body in self._bodies:
            found: list[ast.stmt] = []
            for statement in body:
                if before is not None and statement.lineno > before:
                    break
                inner = [s for s in _statements(statement) if _defines(s, name)]
                if inner and inner[0] is statement:
                    found = []
                found += [s for s in inner if before is None or s.lineno <= before]
            if found:
                return tuple(found)
        return ()

    def value(self, name: str, before: int) -> ast.expr | None:
        """The one value of a local name, if it has one."""
        values = [s.value for s in self.definitions(name, before) if isinstance(s, ast.Assign)]
        return values[0] if len(values) == 1 else None

    def kernels(self, node: ast.expr, depth: int = 0) -> tuple[str, ...]:
        """Kernels that an expression can stand for: a name, `a if c else b`, `self.kernel`."""
        if depth > 4:
            return ()
        if isinstance(node, ast.IfExp):
            both = (*self.kernels(node.body, depth + 1), *self.kernels(node.orelse, depth + 1))
            return tuple(dict.fromkeys(both))
        if isinstance(node, ast.Attribute) and node.attr == "fn":
            return self.kernels(node.value, depth + 1)
        if isinstance(node, ast.Attribute):
            return self._kernels_of_attribute(node.attr, depth)
        if isinstance(node, ast.Call):
            return self._kernels_of_call(node, depth)
        if not isinstance(node, ast.Name):
            return ()
        if node.id in self._kernel_names:
            return (node.id,)
        values = [s.value for s in self._anywhere(node.id) if isinstance(s, ast.Assign)]
        values += [] if values else self._handed(node.id)
        found = [kernel for value in values for kernel in self.kernels(value, depth + 1)]
        return tuple(dict.fromkeys(found))

    def _handed(self, name: str) -> list[ast.expr]:
        """What calls of this function hand to a parameter: `launch(kernel, x)`."""
        function = self._function
        if function is None or function.class_name is not None:
            return []
        names = [a.arg for a in (*function.node.args.posonlyargs, *function.node.args.args)]
        if name not in (*names, *(a.arg for a in function.node.args.kwonlyargs)):
            return []
        at = names.index(name) if name in names else None
        found = []
        for call in ast.walk(self._program.tree):
            if not isinstance(call, ast.Call) or text_of(call.func) != function.node.name:
                continue
            starred = any(isinstance(a, ast.Starred) for a in call.args)
            if at is not None and not starred and at < len(call.args):
                found.append(call.args[at])
            found += [keyword.value for keyword in call.keywords if keyword.arg == name]
        return found

    def _kernels_of_call(self, node: ast.Call, depth: int) -> tuple[str, ...]:
        """Of `triton.autotune(...)(triton.jit(f))`, of a function that returns a kernel, and of
        a call that nothing is known of, but that a kernel is handed to."""
        made = self._program.made.get(id(node))
        if made is not None:
            return (made,)
        if isinstance(node.func, ast.Name):
            for function in self._program.host_functions:
                if function.name == node.func.id:
                    inner = _Bindings(self._program, function)
                    returns = [s for b in function.node.body for s in _statements(b)]
                    values = [s.value for s in returns if isinstance(s, ast.Return) and s.value]
                    found = [k for value in values for k in inner.kernels(value, depth + 1)]
                    return tuple(dict.fromkeys(found))
        handed = [argument for argument in node.args if isinstance(argument, (ast.Name, ast.Call))]
        found = [kernel for argument in handed for kernel in self.kernels(argument, depth + 1)]
        return tuple(dict.fromkeys(found))

    def _anywhere(self, name: str) -> tuple[ast.stmt, ...]:
        local = self.definitions(name, None)
        if local:
            return local
        return tuple(s for s in self._program.tree.body if _defines(s, name))

    def _kernels_of_attribute(self, attribute: str, depth: int) -> tuple[str, ...]:
        found: list[str] = []
        for node in ast.walk(self._program.tree):
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Attribute) and t.attr == attribute for t in node.targets
            ):
                found += self.kernels(node.value, depth + 1)
            if isinstance(node, ast.ClassDef):
                own = [s for s in node.body if isinstance(s, ast.Assign) and _defines(s, attribute)]
                found += [kernel for s in own for kernel in self.kernels(s.value, depth + 1)]
        return tuple(dict.fromkeys(found))


def _defines(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return statement.name == name
    if isinstance(statement, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == name for t in statement.targets)
    return (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.target.id == name
    )


def _statements(statement: ast.stmt) -> list[ast.stmt]:
    """The statement and those inside its blocks, functions not entered, in source order."""
    inside = [
        node for child in ast.iter_child_nodes(statement) for node in outside_functions(child)
    ]
    found = [node for node in [statement, *inside] if isinstance(node, ast.stmt)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _own_nodes(statement: ast.stmt) -> list[ast.AST]:
    """Nodes that belong to this scope: lambdas are entered, functions and classes are not."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = [statement]
    while stack:
        current = stack.pop()
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        found.append(current)
        if isinstance(current, ast.ClassDef):
            stack.extend(s for s in current.body if not isinstance(s, ast.FunctionDef))
        else:
            stack.extend(ast.iter_child_nodes(current))
    return found
