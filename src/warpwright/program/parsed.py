"""A parsed program: its tree with the nodes that the readers start from, found once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from warpwright.errors import InputError
from warpwright.program.evaluate import FunctionName, single_assignments
from warpwright.program.kernel_forms import KernelNode, Kernels, find_kernels, names_around
from warpwright.program.nodes import clone
from warpwright.program.parsing import parse
from warpwright.program.plain_spelling import FunctionNode, bound_in, rename_plainly, spell_plainly
from warpwright.program.resolve import Aliases

KEPT = 64
"""Programs that are held; a search reads some dozens of texts many times."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function that is no kernel; `name` is qualified, as in `ModelNew.forward`."""

    name: str
    node: FunctionNode
    outer: tuple[FunctionNode, ...]  # functions around it, outermost first
    class_name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ParsedProgram:
    """Source, trees, aliases, kernels and host functions of one program.

    `tree` is in the plain spelling (`program.plain`), which all readers work on; `written` is as
    the source has it, with the same positions, for what is about its names.
    """

    source: str
    tree: ast.Module
    written: ast.Module
    aliases: Aliases  # of the plain tree
    written_aliases: Aliases
    kernels: tuple[KernelNode, ...]
    host_functions: tuple[HostFunction, ...]
    constants: dict[str, ast.expr] = field(default_factory=dict)  # module level, assigned once
    made: Mapping[int, str] = field(default_factory=dict)  # id of a call → the kernel it makes
    kernel_places: frozenset[Place] = frozenset()
    making_places: frozenset[Place] = frozenset()
    held: dict[object, object] = field(default_factory=dict, repr=False)  # see `once`

    @property
    def kernel_names(self) -> tuple[str, ...]:
        return tuple(kernel.node.name for kernel in self.kernels)

    def is_kernel(self, node: ast.AST) -> bool:
        """Whether a function of either tree is a kernel."""
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return is_function and place_of(node) in self.kernel_places

    def makes_kernel(self, node: ast.AST) -> bool:
        """Whether a module-level statement only makes a kernel, or names what wraps one."""
        return (
            isinstance(node, (ast.Assign, ast.AnnAssign)) and place_of(node) in self.making_places
        )

    def names_around(self, outer: tuple[FunctionNode, ...]) -> dict[str, ast.expr]:
        """Names with one defining expression: module level, then each function around."""
        return names_around(self.constants, outer)

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


Place = tuple[int, int]


_Found = TypeVar("_Found")
_More = ParamSpec("_More")


def once(
    find: Callable[Concatenate[ParsedProgram, _More], _Found],
) -> Callable[Concatenate[ParsedProgram, _More], _Found]:
    """`find`, which the program answers from what it holds when it is asked again.

    For what is found in a program and changed by nobody; further arguments are hashable.
    """

    @wraps(find)
    def found(program: ParsedProgram, /, *more: _More.args, **named: _More.kwargs) -> _Found:
        key = find, more, tuple(named.items())
        if key not in program.held:
            program.held[key] = find(program, *more, **named)
        return cast(_Found, program.held[key])

    return found


def place_of(node: ast.AST) -> Place:
    """Line and column, which tell a statement in any copy of its tree."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def parse_program(
    source: str, *, document: str | None = None, first_line: int = 1
) -> ParsedProgram:
    """The program with its kernels and host functions; a text is read once. Raises `InputError`.

    What it holds is shared by all who ask for this text: whoever changes a node clones it before
    (`source.nodes.clone`). Errors are told in lines of `document`, where the program starts at
    `first_line`.
    """
    try:
        return _read(source)
    except InputError as error:
        raise error.moved(document, first_line) from None


@lru_cache(maxsize=KEPT)
def _read(source: str) -> ParsedProgram:
    written = parse(source)
    tree = clone(written)
    written_aliases = Aliases(written)
    spell_plainly(tree, written_aliases)
    aliases = written_aliases.without("triton")
    functions = [(node, outer) for _, node, outer, _ in _functions(tree.body, (), (), None)]
    found = find_kernels(tree, aliases, functions)
    rename_plainly(tree, _other_names(tree, found))
    places = frozenset(place_of(kernel.node) for kernel in found.nodes)
    host = tuple(
        HostFunction(name, node, outer, class_name)
        for name, node, outer, class_name in _functions(tree.body, (), (), None)
        if place_of(node) not in places
    )
    return ParsedProgram(
        source,
        tree,
        written,
        aliases,
        written_aliases,
        found.nodes,
        host,
        single_assignments(tree.body),
        found.made,
        places,
        frozenset(place_of(node) for node in tree.body if _only_makes(node, found)),
    )


def _only_makes(node: ast.stmt, kernels: Kernels) -> bool:
    value = getattr(node, "value", None)
    return id(node) in kernels.wrappers or (value is not None and id(value) in kernels.made)


def _other_names(tree: ast.Module, kernels: Kernels) -> dict[str, str]:
    """Module-level names that stand for a kernel, with the name of its function."""
    functions = {kernel.node.name for kernel in kernels.nodes if not kernel.outer}
    found: dict[str, str] = {}
    for name, value in single_assignments(tree.body).items():
        kernel = kernels.made.get(id(value))
        if isinstance(value, ast.Name):
            kernel = found.get(value.id, value.id)
        if kernel in functions and kernel is not None and name not in functions:
            found[name] = kernel
    return found


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
