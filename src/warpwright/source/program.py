"""A parsed program: its tree with the nodes that the readers start from, found once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from warpwright.source.evaluate import FunctionName, outside_functions, single_assignments
from warpwright.source.parsing import parse
from warpwright.source.resolve import Aliases

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function that is no kernel; `name` is qualified, as in `ModelNew.forward`."""

    name: str
    node: FunctionNode
    outer: tuple[FunctionNode, ...]  # functions around it, outermost first
    class_name: str | None


@dataclass(frozen=True, slots=True)
class KernelNode:
    """A jit function, with the functions around it where it is nested."""

    node: ast.FunctionDef
    outer: tuple[FunctionNode, ...]


@dataclass(frozen=True, slots=True)
class ParsedProgram:
    """Source, tree, aliases, kernels and host functions of one program."""

    source: str
    tree: ast.Module
    aliases: Aliases
    kernels: tuple[KernelNode, ...]
    host_functions: tuple[HostFunction, ...]
    constants: dict[str, ast.expr] = field(default_factory=dict)  # module level, assigned once

    @property
    def kernel_names(self) -> tuple[str, ...]:
        return tuple(kernel.node.name for kernel in self.kernels)

    def names_around(self, outer: tuple[FunctionNode, ...]) -> dict[str, ast.expr]:
        """Names with one defining expression: module level, then each function around."""
        names = dict(self.constants)
        for function in outer:
            local = single_assignments(function.body)
            for name in bound_in(function):
                names.pop(name, None)
            names.update(local)
        return names

    def values_around(self, outer: tuple[FunctionNode, ...]) -> dict[str, ast.expr]:
        """The same, and functions of the module by their names, which stand for themselves."""
        functions = [node for node in self.tree.body if isinstance(node, ast.FunctionDef)]
        hidden = {name for function in outer for name in bound_in(function)}
        named: dict[str, ast.expr] = {
            node.name: ast.Constant(FunctionName(node.name))  # type: ignore[arg-type]
            for node in functions
            if node.name not in hidden
        }
        return {**named, **self.names_around(outer)}


def parse_program(
    source: str, *, document: str | None = None, first_line: int = 1
) -> ParsedProgram:
    """Parses `source` and finds its kernels and host functions. Raises `InputError`."""
    tree = parse(source, document=document, first_line=first_line)
    aliases = Aliases(tree)
    kernels: list[KernelNode] = []
    host: list[HostFunction] = []
    for name, node, outer, class_name in _functions(tree.body, (), (), None):
        if isinstance(node, ast.FunctionDef) and jit_decorator(node, aliases) is not None:
            kernels.append(KernelNode(node, outer))
        else:
            host.append(HostFunction(name, node, outer, class_name))
    constants = single_assignments(tree.body)
    return ParsedProgram(source, tree, aliases, tuple(kernels), tuple(host), constants)


def jit_decorator(node: FunctionNode, aliases: Aliases) -> ast.expr | None:
    """The `@triton.jit` decorator of a function, with or without arguments."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if aliases.path(target) == "triton.jit":
            return decorator
    return None


def decorator_call(node: FunctionNode, aliases: Aliases, path: str) -> ast.Call | None:
    """The decorator that calls `path`, such as "triton.autotune"."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and aliases.path(decorator.func) == path:
            return decorator
    return None


def bound_in(function: FunctionNode) -> set[str]:
    """Names that the function itself binds: parameters and assignments."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    names = {argument.arg for argument in every}
    for statement in function.body:
        for node in outside_functions(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
    return names


def _functions(
    body: list[ast.stmt],
    path: tuple[str, ...],
    outer: tuple[FunctionNode, ...],
    class_name: str | None,
) -> Iterator[tuple[str, FunctionNode, tuple[FunctionNode, ...], str | None]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ".".join([*path, node.name]), node, outer, class_name
            yield from _functions(node.body, (*path, node.name), (*outer, node), class_name)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, (*path, node.name), outer, node.name)
        else:
            for block in _blocks(node):
                yield from _functions(block, path, outer, class_name)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The statement lists inside a compound statement."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
    for handler in getattr(node, "handlers", []):
        yield handler.body
    for case in getattr(node, "cases", []):
        yield case.body
