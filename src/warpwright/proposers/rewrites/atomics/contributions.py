"""What a kernel adds to memory by atomic operations: `tl.atomic_add(p, tl.sum(x, axis=0))`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.block_extents import reduction_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply

KINDS = {"atomic_add": "sum", "atomic_max": "max", "atomic_min": "min"}


@dataclass(frozen=True, slots=True)
class Contribution:
    """`statement` makes the atomic operation `call` of the `kind` sum, max or min.

    `value` is what the blocks may be added up by: the operand, or what reductions of the same kind
    make it from, along `axes` (the innermost first; None: all). It is worked out in `place`, and
    the statements `between` only name results on the way.
    """

    statement: ast.Expr
    call: ast.Call
    kind: str
    value: ast.expr
    place: ast.stmt
    axes: tuple[int | None, ...] = ()
    between: tuple[ast.stmt, ...] = ()


def contributions(kernel: KernelText, *, lanes: bool) -> tuple[Contribution, ...]:
    """All atomic operations of the kernel. Raises DoesNotApply where one is of another form.

    With `lanes` reductions are looked through, so that lanes add up by themselves.
    """
    found = [_with_lanes(kernel, one) if lanes else one for one in map(_read, _statements(kernel))]
    calls = [one.call for one in found]
    for node in ast.walk(kernel.node):
        name = kernel.called(node) or ""
        if name.startswith("atomic") and node not in calls:
            raise DoesNotApply(f"{ast.unparse(node)} is no plain atomic operation of all blocks")
    if not found:
        raise DoesNotApply("the kernel adds nothing by atomic operations")
    return tuple(found)


def address_parts(one: Contribution) -> list[ast.expr]:
    """What says where it goes: the address, the mask and other keywords."""
    return [one.call.args[0], *(keyword.value for keyword in one.call.keywords)]


def _statements(kernel: KernelText) -> Iterator[tuple[ast.Expr, ast.Call, str]]:
    for node in kernel.node.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            kind = KINDS.get(kernel.called(node.value) or "")
            if kind is not None and kernel.path(node.value.func):
                yield node, node.value, kind


def _read(found: tuple[ast.Expr, ast.Call, str]) -> Contribution:
    statement, call, kind = found
    names = {keyword.arg for keyword in call.keywords}
    if len(call.args) != 2 or names - {"mask", "sem", "scope"}:
        raise DoesNotApply(f"{ast.unparse(call)} passes its arguments in another way")
    return Contribution(statement, call, kind, call.args[1], statement)


def _with_lanes(kernel: KernelText, one: Contribution) -> Contribution:
    """The contribution before its reductions; itself where there is none."""
    body: Sequence[ast.stmt] = kernel.node.body
    value, place, axes = one.value, one.place, one.axes
    between = one.between
    while True:
        if isinstance(value, ast.Name):
            named = _named(body, value.id, place)
            if named is None:
                break
            reduction = reduction_of(kernel, named.value)
            if reduction is None or kernel.called(named.value) != one.kind:
                break
            between, place = (*between, named), named
        else:
            reduction = reduction_of(kernel, value)
            if reduction is None or kernel.called(value) != one.kind:
                break
        value, axes = reduction[0], (reduction[1], *axes)
    return Contribution(one.statement, one.call, one.kind, value, place, axes, between)


def _named(body: Sequence[ast.stmt], name: str, place: ast.stmt) -> ast.Assign | None:
    """The assignment that gives `name` its value at `place`, if nothing else reads that value."""
    behind = body[body.index(place) + 1 :]
    for node in reversed(body[: body.index(place)]):
        if isinstance(node, ast.Assign) and _gives(node, name):
            between = body[body.index(node) + 1 : body.index(place) + 1]
            read = loaded_names([*between, *_until(behind, name, place)]).count(name)
            return node if read == 1 else None
        if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node)):
            return None
    return None


def _until(behind: Sequence[ast.stmt], name: str, place: ast.stmt) -> list[ast.stmt]:
    """The statements that may still read the value; none where `place` itself replaces it."""
    return [] if _gives(place, name) else list(behind)


def _gives(node: ast.stmt, name: str) -> bool:
    return (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == name
    )
