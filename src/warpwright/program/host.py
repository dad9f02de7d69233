"""Reading host code for integrity: what is reachable, what is kept between calls, what is lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from warpwright.program.dotted_names import dotted, plain_aliases, resolve
from warpwright.program.parsed import HostFunction, ParsedProgram, once
from warpwright.program.plain_spelling import FunctionNode

ALLOCATIONS = frozenset(
    {
        "torch.empty", "torch.empty_like", "torch.zeros", "torch.zeros_like", "torch.ones",
        "torch.ones_like", "torch.full", "torch.full_like", "torch.empty_strided", "torch.tensor",
        "torch.rand", "torch.randn", "torch.rand_like", "torch.randn_like", "torch.arange",
        "torch.eye",
    }
)  # fmt: skip
_TENSOR_ALLOCATIONS = ("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor")


@dataclass(frozen=True, slots=True)
class HostCode:
    """The host functions of a program, the model first, and what forward can reach."""

    tree: ast.Module
    known: Mapping[str, str]
    functions: Mapping[str, HostFunction] = field(default_factory=dict)
    reachable: frozenset[str] = frozenset()


@once
def read_host(program: ParsedProgram, model: str) -> HostCode:
    """All host functions, and the ones that `model.forward` or `model.__init__` can reach."""
    tree = program.tree
    functions = {
        found.name: found
        for found in program.host_functions
        if not any(map(program.is_kernel, found.outer))
    }
    return HostCode(tree, plain_aliases(program), functions, _reachable(tree, functions, model))


def _reachable(tree: ast.Module, functions: dict[str, HostFunction], model: str) -> frozenset[str]:
    """By name: a function is reached where its last name is mentioned in reached code."""
    by_last: dict[str, list[str]] = {}
    for name in functions:
        by_last.setdefault(name.split(".")[-1], []).append(name)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    todo = [name for name in functions if name.startswith(f"{model}.")]
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        for word in _mentioned(functions[name].node):
            todo += by_last.get(word, [])
            if word in classes:
                todo += [other for other in functions if other.startswith(f"{word}.")]
    return frozenset(reached)


def _mentioned(node: ast.AST) -> set[str]:
    words = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            words.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            words.add(inner.attr)
    return words


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """Nodes of a function's body; nested functions are left out, lambdas are entered."""
    stack: list[ast.AST] = list(reversed(function.body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def is_allocation(node: ast.expr, known: Mapping[str, str]) -> bool:
    """A call that makes a new tensor out of nothing."""
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func)
    if name is not None and resolve(name, known) in ALLOCATIONS:
        return True
    return isinstance(node.func, ast.Attribute) and node.func.attr in _TENSOR_ALLOCATIONS


def assignments(function: FunctionNode) -> dict[str, list[ast.expr]]:
    """What each plain name of a function is assigned."""
    found: dict[str, list[ast.expr]] = {}
    for node in own_nodes(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, []).extend([node.value] if node.value else [])
        elif isinstance(node, ast.NamedExpr):
            found.setdefault(node.target.id, []).append(node.value)
    return found


def call_arguments(function: FunctionNode) -> set[str]:
    """Names that are handed to some call, or that a method is called on, or stored into.

    What stands in a tuple or mapping that is handed on (`kernel[grid](*args)`) is too.
    """
    found: set[str] = set()
    for node in own_nodes(function):
        if isinstance(node, ast.Call):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                found |= {inner.id for inner in ast.walk(argument) if isinstance(inner, ast.Name)}
            if isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
                root = dotted(node.func.value)
                found |= {root.split(".")[0]} if root else set()
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Subscript) or isinstance(node, ast.AugAssign):
                    found |= {i.id for i in ast.walk(target) if isinstance(i, ast.Name)}
    values = assignments(function)
    todo = list(found)
    while todo:
        for value in values.get(todo.pop(), ()):
            if isinstance(value, (ast.Tuple, ast.List, ast.Dict)):
                inside = {i.id for i in ast.walk(value) if isinstance(i, ast.Name)} - found
                found |= inside
                todo += inside
    return found
