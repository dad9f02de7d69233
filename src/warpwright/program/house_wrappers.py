"""Functions and classes of the program's own that stand around a kernel, or make what does.

    def tuned(configs, key, **options):                    @tuned(configs=[…], key=["n"])
        return triton.autotune(configs, key, **options)    @triton.jit
                                                           def kernel(…): …

A call of one is read as what the function returns for its arguments. Arguments keep their nodes,
and so their places in the source: a list that is passed is read, and edited, where it stands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from warpwright.program.evaluate import outside_functions, single_assignments
from warpwright.program.nodes import clone
from warpwright.program.plain_spelling import FunctionNode

_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Returned:
    """One value that a call may return: an expression, or a function of one argument.

    `parameter`: the name of that argument, for which `value` is the function's own result.
    """

    value: ast.expr
    parameter: str | None = None


def returned_by(call: ast.Call, function: FunctionNode) -> list[Returned] | None:
    """What a call of the function may return, a `return` each; None where it cannot be told."""
    given = _bound(call, function)
    if given is None:
        return None
    for name, value in single_assignments(function.body).items():
        given.setdefault(name, _with(value, given))
    inner = {s.name: s for s in _own(function.body) if isinstance(s, ast.FunctionDef)}
    found = []
    for value in _returns(function):
        decorator = inner.get(value.id) if isinstance(value, ast.Name) else None
        if decorator is None:
            found.append(Returned(_with(value, given)))
            continue
        parameters = [argument.arg for argument in decorator.args.args]
        if len(parameters) != 1:
            return None
        left = {name: node for name, node in given.items() if name != parameters[0]}
        found += [Returned(_with(one, left), parameters[0]) for one in _returns(decorator)]
    return found or None


def _returns(function: FunctionNode) -> Iterator[ast.expr]:
    for node in _own(function.body):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value


def _own(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from outside_functions(statement)


def _bound(call: ast.Call, function: FunctionNode) -> dict[str, ast.expr] | None:
    """The argument of each parameter; those that `**options` takes up as a mapping."""
    arguments = function.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    if starred or len(call.args) > len(positional) or arguments.vararg is not None:
        return None
    every = [*positional, *(a.arg for a in arguments.kwonlyargs)]
    given: dict[str, ast.expr] = dict(zip(positional, call.args, strict=False))
    rest: list[tuple[ast.expr | None, ast.expr]] = []
    for keyword in call.keywords:
        if keyword.arg in every:
            given[keyword.arg] = keyword.value
        else:
            name = None if keyword.arg is None else ast.Constant(keyword.arg)
            rest.append((name, keyword.value))
    if rest and arguments.kwarg is None:
        return None
    if arguments.kwarg is not None:
        given[arguments.kwarg.arg] = ast.Dict([n for n, _ in rest], [v for _, v in rest])
    if arguments.defaults:
        defaults = zip(positional[-len(arguments.defaults) :], arguments.defaults, strict=True)
        given = {**dict(defaults), **given}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            given.setdefault(argument.arg, default)
    return given if given.keys() >= set(every) else None


def _with(value: ast.expr, given: Mapping[str, ast.expr]) -> ast.expr:
    replaced = _Given(given).visit(clone(value))
    assert isinstance(replaced, ast.expr)
    return replaced


class _Given(ast.NodeTransformer):
    """Puts arguments in the place of parameters, and writes out `**options`."""

    def __init__(self, given: Mapping[str, ast.expr]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._given.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.func = self.visit(node.func)
        node.args = [self.visit(argument) for argument in node.args]
        keywords: list[ast.keyword] = []
        for keyword in node.keywords:
            value = self.visit(keyword.value)
            if keyword.arg is None and isinstance(value, ast.Dict):
                keywords += _written_out(value)
            else:
                keywords.append(ast.keyword(keyword.arg, value))
        node.keywords = keywords
        return node


def _written_out(mapping: ast.Dict) -> list[ast.keyword]:
    found = []
    for key, value in zip(mapping.keys, mapping.values, strict=True):
        if key is None:
            found.append(ast.keyword(None, value))
        elif isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.append(ast.keyword(key.value, value))
        else:
            return [ast.keyword(None, mapping)]
    return found


Owner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def mentioned(owner: Owner, known: Mapping[str, Owner], depth: int = 0) -> Iterator[ast.expr]:
    """Names and attributes in the body of a function or class, and of those of the module that it
    mentions."""
    for statement in (*owner.body, *(owner.bases if isinstance(owner, ast.ClassDef) else ())):
        for node in ast.walk(statement):
            if isinstance(node, (ast.Name, ast.Attribute)):
                yield node
            other = known.get(node.id) if isinstance(node, ast.Name) else None
            if other is not None and other is not owner and depth < _DEEPEST:
                yield from mentioned(other, known, depth + 1)
