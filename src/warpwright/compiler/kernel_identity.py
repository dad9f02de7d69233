"""Which part of a program decides what its kernel compiles to.

The compile cache is keyed by this part alone, so that a change of a comment, of the config
list or of the host code does not compile anything again. When in doubt a statement counts as
part of the kernel: too much costs a compile, too little would give a wrong answer.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator

from warpwright.program.kernel_forms import KernelNode
from warpwright.program.nodes import clone
from warpwright.program.parsed import ParsedProgram, Place, once, parse_program, place_of

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def kernel_code(program: str, kernel: str) -> str:
    """The normalised code that `kernel` depends on, as text to hash.

    It holds the kernel's function without its autotune and heuristics decorators, every
    module-level statement that binds a name it can reach (helpers, constants, imports) or makes
    the kernel in a call, and those that act on something other than a name. Comments, layout and
    docstrings are left out. A kernel that is not defined at module level depends on the whole
    program.

    Raises `InputError` for a program that cannot be read.
    """
    return _code(parse_program(program), kernel)


@once
def _code(program: ParsedProgram, kernel: str) -> str:
    statements, kernels = program.written.body, program.kernels
    bound = [frozenset(_bound_names(statement)) for statement in statements]
    roots = [i for i, statement in enumerate(statements) if _defines(statement, kernel)]
    if not roots:
        return "\n".join(_dump(statement) for statement in statements)
    choosing = _choosing(kernels)
    makers = [one.lineno for k in kernels if k.node.name == kernel for one in k.makers]
    reached = set(roots) | {i for i, statement in enumerate(statements) if _acts(statement)}
    reached |= {i for i, s in enumerate(statements) if any(_holds(s, line) for line in makers)}
    pending = list(reached)
    while pending:
        names = frozenset(_loaded_names(_without_choices(statements[pending.pop()], choosing)))
        for i, names_bound in enumerate(bound):
            if i not in reached and names & names_bound:
                reached.add(i)
                pending.append(i)
    return "\n".join(_dump(_without_choices(statements[i], choosing)) for i in sorted(reached))


def _defines(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.FunctionDef) and statement.name == name


def _holds(statement: ast.stmt, line: int) -> bool:
    is_plain = not isinstance(statement, _SCOPES)
    return is_plain and statement.lineno <= line <= (statement.end_lineno or statement.lineno)


def _choosing(kernels: Iterable[KernelNode]) -> frozenset[Place]:
    """Where tuners and heuristics stand: what they choose among configs and values reaches the
    compiler as the config and the specialisation, which are keys of their own."""
    calls = (call for kernel in kernels for call in (*kernel.tuners, *kernel.heuristics))
    return frozenset(place_of(call) for call in calls)


def _without_choices(statement: ast.stmt, choosing: frozenset[Place]) -> ast.stmt:
    if not isinstance(statement, ast.FunctionDef):
        return statement
    plain = copy.copy(statement)
    plain.decorator_list = [
        node for node in statement.decorator_list if place_of(node) not in choosing
    ]
    return plain


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement's nodes that run at import: bodies of functions and classes left out."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    for node in _own_nodes(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _loaded_names(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id


def _acts(statement: ast.stmt) -> bool:
    """Whether it does more at import than bind names: calls, `a.b = ...`, star imports."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or any(a.name == "*" for a in statement.names)
    if isinstance(statement, _SCOPES):
        return False
    for node in _own_nodes(statement):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            return True
        if isinstance(node, ast.Delete):
            return True
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            return True
    return False


def _dump(statement: ast.stmt) -> str:
    return ast.dump(_DropDocstrings().visit(clone(statement)))


class _DropDocstrings(ast.NodeTransformer):
    """Docstrings do nothing in a kernel; a body left empty gets a `pass`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        return node
