"""Copies of transposed views in host code: `name = tensor.t().contiguous()`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from warpwright.program.parsed import HostFunction, ParsedProgram
from warpwright.proposers.rewrites.common.kernel_text import stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.products.host_facts import own_nodes

_VIEWS = frozenset({"t", "transpose", "permute", "swapaxes", "swapdims"})
_ANEW = frozenset({"empty", "zeros", "ones", "full", "cdiv", "next_power_of_2", "clone"})
_MOST_NAMES = 4
_VIEW_FIELDS = frozenset({"T", "mT"})
FACTS = frozenset({"shape", "dtype", "device", "ndim", "is_cuda"})
QUESTIONS = frozenset({"stride", "size", "dim", "numel", "element_size"})


@dataclass(frozen=True, slots=True)
class TurnedCopy:
    """`name = view.contiguous()` in a function."""

    function: HostFunction
    statement: ast.Assign
    name: str
    view: ast.expr


def turned_copies(program: ParsedProgram) -> Iterator[TurnedCopy]:
    """Copies of transposed views, by names that a function assigns once."""
    for function in program.host_functions:
        stored = stored_names(function.node.body)
        for node in own_nodes(function):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target, call = node.targets[0], node.value
            method = call.func if isinstance(call, ast.Call) else None
            if not isinstance(method, ast.Attribute) or method.attr != "contiguous":
                continue
            plain = isinstance(call, ast.Call) and not call.args and not call.keywords
            if not plain or not isinstance(target, ast.Name) or stored.count(target.id) != 1:
                continue
            if _is_view(method.value):
                yield TurnedCopy(function, node, target.id, method.value)


def _is_view(node: ast.expr) -> bool:
    """Whether an expression turns the dimensions of what a name stands for."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _VIEWS and _is_plain(node.func.value)
    return isinstance(node, ast.Attribute) and node.attr in _VIEW_FIELDS and _is_plain(node.value)


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return _is_plain(node.value)
    return isinstance(node, ast.Name)


def check_source(copy: TurnedCopy) -> None:
    """Raises DoesNotApply where what is viewed may change behind the copy: it is named for more
    than its sizes there, or stored to."""
    turned = copy.view.func if isinstance(copy.view, ast.Call) else copy.view
    assert isinstance(turned, ast.Attribute)
    source = ast.unparse(turned.value)
    asked = {
        node.value
        for node in own_nodes(copy.function)
        if isinstance(node, ast.Attribute) and node.attr in FACTS | QUESTIONS
    }
    for node in ast.walk(copy.function.node):
        if not isinstance(node, ast.Name | ast.Attribute) or ast.unparse(node) != source:
            continue
        behind = node.lineno > (copy.statement.end_lineno or 0)
        if behind and (node not in asked or not isinstance(node.ctx, ast.Load)):
            raise DoesNotApply(f"{source} is used again behind its copy")
    others = _of_the_same_memory(copy, source, asked)
    for node in ast.walk(copy.function.node):
        behind = isinstance(node, ast.Name) and node.lineno > (copy.statement.end_lineno or 0)
        if behind and isinstance(node, ast.Name) and node.id in others and node not in asked:
            raise DoesNotApply(f"{node.id} may be {source} by another name")


def _of_the_same_memory(copy: TurnedCopy, source: str, asked: Collection[ast.AST]) -> set[str]:
    """Names that may stand for the memory of what is copied: `y = x`, `y = x.view(-1)`, and back.

    Not those of what is made anew in the same form (`torch.empty_like(x)`).
    """
    found = {source}
    for _ in range(_MOST_NAMES):
        for node in own_nodes(copy.function):
            if not isinstance(node, ast.Assign) or node is copy.statement:
                continue
            read = set(_read(node.value, asked))
            stored = set(stored_names(node.targets))
            if read & found:
                found |= stored
            if stored & found:
                found |= read
    return found - {source, copy.name}


def _read(node: ast.AST, asked: Collection[ast.AST]) -> Iterator[str]:
    """What an expression reads the memory of: names and attributes of these, as source."""
    if node in asked or (isinstance(node, ast.Call) and _makes_anew(node.func)):
        return
    if isinstance(node, ast.Name | ast.Attribute) and _is_plain(node):
        yield ast.unparse(node)
    if isinstance(node, ast.Attribute) and _is_plain(node):
        node = node.value  # `x` of `x.view`
        if isinstance(node, ast.Name | ast.Attribute) and node not in asked:
            yield ast.unparse(node)
        return
    for child in ast.iter_child_nodes(node):
        yield from _read(child, asked)


def _makes_anew(function: ast.expr) -> bool:
    word = function.attr if isinstance(function, ast.Attribute) else ""
    return word.endswith("_like") or word.startswith("new_") or word in _ANEW
