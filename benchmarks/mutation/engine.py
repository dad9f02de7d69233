"""Mutants of a program: every site at which an operator applies, and random samples of them."""

from __future__ import annotations

import ast
import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from mutation.host_operators import HOOK_OPERATORS, HOST_OPERATORS
from mutation.kernel_operators import KERNEL_OPERATORS, Operator
from mutation.syntax import Function, text_of
from warpwright.program.parameter_types import ParameterKind, parameter_kinds
from warpwright.program.parsed import parse_program


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutation of a program: the line is the parent's."""

    operator: str
    function: str
    line: int
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True)
class _Site:
    operator: str
    function: str
    line: int
    node: cst.CSTNode
    replacement: cst.CSTNode


def mutants(source: str, operators: Sequence[str] | None = None) -> Iterator[Mutant]:
    """Every mutant of a program that parses and differs from it, in order of its nodes.

    `operators` keeps those of these names. Raises `libcst.ParserSyntaxError` for a source that
    is no Python.
    """
    tree, sites = _sites(source)
    for site in sites:
        if operators is None or site.operator in operators:
            mutant = _mutant(source, tree, site)
            if mutant is not None:
                yield mutant


def sample(source: str, count: int, seed: int) -> list[Mutant]:
    """`count` distinct random mutants (fewer if there are fewer), no operator before its turn.

    Operators are shuffled and taken in turn, so that common sites (arithmetic) do not crowd out
    rare ones (a dot).
    """
    chance = random.Random(seed)
    tree, sites = _sites(source)
    by_operator: dict[str, list[_Site]] = {}
    for site in sites:
        by_operator.setdefault(site.operator, []).append(site)
    order = sorted(by_operator)
    chance.shuffle(order)
    for name in order:
        chance.shuffle(by_operator[name])
    found: dict[str, Mutant] = {}
    while order and len(found) < count:
        for name in list(order):
            if not by_operator[name]:
                order.remove(name)
                continue
            mutant = _mutant(source, tree, by_operator[name].pop())
            if mutant is not None and len(found) < count:
                found.setdefault(mutant.source, mutant)
    return list(found.values())


@functools.lru_cache(maxsize=4)
def _sites(source: str) -> tuple[cst.Module, tuple[_Site, ...]]:
    """What can be mutated, found once for all samples of a program."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=False)
    lines = wrapper.resolve(PositionProvider)
    plain = ast.parse(source)
    kernels = frozenset(parse_program(source).kernel_names)
    sites = []
    for function, node in _functions(wrapper.module):
        where = _described(function, kernels, plain)
        table = KERNEL_OPERATORS if where.is_kernel else HOST_OPERATORS
        parts: list[tuple[cst.CSTNode, Mapping[str, Operator]]] = [(node.body, table)]
        parts += [(decorator, HOOK_OPERATORS) for decorator in node.decorators]
        for part, operators in parts:
            for inner in _nodes(part):
                for name, operator in operators.items():
                    for replacement in operator(inner, where):
                        line = lines[inner].start.line
                        sites.append(_Site(name, where.name, line, inner, replacement))
    return wrapper.module, tuple(sites)


def _functions(module: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    """Functions of the module and methods of its classes; inner ones belong to the outer."""
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement.name.value, statement
        elif isinstance(statement, cst.ClassDef):
            for item in statement.body.body:
                if isinstance(item, cst.FunctionDef):
                    yield f"{statement.name.value}.{item.name.value}", item


def _described(name: str, kernels: frozenset[str], tree: ast.Module) -> Function:
    if name not in kernels:
        return Function(name, is_kernel=False)
    kinds = parameter_kinds(tree, name)
    integers = [n for n, kind in kinds.items() if kind is ParameterKind.INTEGER]
    return Function(
        name,
        is_kernel=True,
        pointers=tuple(n for n, kind in kinds.items() if kind is ParameterKind.POINTER),
        strides=tuple(n for n in integers if "stride" in n),
        sizes=tuple(n for n in integers if "stride" not in n),
    )


def _nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _mutant(source: str, tree: cst.Module, site: _Site) -> Mutant | None:
    """None where the replacement does not parse or changes nothing."""
    changed = tree.deep_replace(site.node, site.replacement)
    assert isinstance(changed, cst.Module)
    text = changed.code
    try:
        same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    if same:
        return None
    before, after = text_of(site.node), text_of(site.replacement)
    return Mutant(site.operator, site.function, site.line, before, after, text)
