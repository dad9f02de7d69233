"""Where the addresses of tiles stand in a kernel, and how a new one is laid out there."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names, stored_names
from warpwright.proposers.rewrites.common.statement_text import INDENT, MAX_COLUMNS, margin_of
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of, shapes_before

_ACCESSES = ("load", "store")
_ASSIGNS = (ast.Assign, ast.AugAssign, ast.AnnAssign)


@dataclass(frozen=True, slots=True)
class AddressPlace:
    """An address: the expression, and the statement that works it out."""

    statement: ast.stmt
    node: ast.expr


def addresses(kernel: KernelText) -> list[AddressPlace]:
    """Pointers of loads and stores that are tiles and not in two parts yet, in source order.

    Of what is transposed already (`tl.load(tl.trans(p))`) the inner expression; of a name that is
    assigned once and read here alone, what it is assigned.
    """
    found: dict[tuple[int, int], AddressPlace] = {}
    for statement in ast.walk(kernel.node):
        if not isinstance(statement, (*_ASSIGNS, ast.Expr)):
            continue
        for call in ast.walk(statement):
            if isinstance(call, ast.Call) and kernel.called(call) in _ACCESSES and call.args:
                place = _of_name(kernel, AddressPlace(statement, _plain(kernel, call.args[0])))
                shapes = shapes_before(kernel.node, place.statement)
                tile = shape_of(place.node, shapes) is Shape.TILE
                if tile and not _is_in_parts(kernel, place):
                    found[(place.node.lineno, place.node.col_offset)] = place
    return [found[start] for start in sorted(found)]


def laid_out_at(source: str, place: AddressPlace, text: str) -> str:
    """The text of a new address, over several lines where one is too short."""
    lines = lines_of(source)
    before = lines[place.node.lineno - 1][: place.node.col_offset]
    after = lines[(place.node.end_lineno or 0) - 1][place.node.end_col_offset or 0 :]
    if len(before) + len(text) + len(after) <= MAX_COLUMNS:
        return text
    new = ast.parse(text, mode="eval").body
    own_line = not before.strip()
    margin = before if own_line else margin_of(source, place.statement)
    inner = margin if own_line else margin + INDENT
    terms = _lines(new)
    whole = ("\n" + inner).join(terms)
    return whole if own_line else f"(\n{inner}{whole}\n{margin})"


def _lines(node: ast.expr) -> list[str]:
    """The pointer on a line of its own; below it what is added, its two sums a line each."""
    assert isinstance(node, ast.BinOp)
    pointer, added = ast.unparse(node.left), ast.unparse(node.right)
    if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, ast.Add):
        sides = [ast.unparse(side) for side in (node.right.left, node.right.right)]
        signs = isinstance(node.right.right, ast.BinOp) and isinstance(
            node.right.right.op, ast.Add | ast.Sub
        )
        last = f"({sides[1]})" if signs else sides[1]
        return [pointer, "+ (", f"{INDENT}{sides[0]}", f"{INDENT}+ {last}", ")"]
    return [pointer, f"+ {added}"]


def _plain(kernel: KernelText, address: ast.expr) -> ast.expr:
    """What a transposed address is made of."""
    if isinstance(address, ast.Call) and kernel.called(address) == "trans":
        return address.args[0] if len(address.args) == 1 else address
    return address


def _of_name(kernel: KernelText, place: AddressPlace) -> AddressPlace:
    """Where a name that is assigned once and read once gets its value."""
    while isinstance(place.node, ast.Name):
        name = place.node.id
        if loaded_names([kernel.node]).count(name) != 1:
            return place
        value = _assigned_once(kernel, name)
        if value is None:
            return place
        place = value
    return place


def _assigned_once(kernel: KernelText, name: str) -> AddressPlace | None:
    if stored_names([kernel.node]).count(name) != 1:
        return None
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Assign) and stored_names(node.targets) == [name]:
            return AddressPlace(node, node.value) if isinstance(node.targets[0], ast.Name) else None
    return None


def _is_in_parts(kernel: KernelText, place: AddressPlace) -> bool:
    """Whether an element costs one addition already."""
    node = place.node
    while isinstance(node, ast.Name):
        value = _assigned_once(kernel, node.id)
        if value is None:
            return False
        node = value.node
    shapes = shapes_before(kernel.node, place.statement)
    if _adds_flat(node, shapes):
        return True
    added = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    return added and _is_flat(node.left, shapes) and _adds_flat(node.right, shapes)  # type: ignore[attr-defined]


def _adds_flat(node: ast.expr, shapes: Mapping[str, Shape]) -> bool:
    """Whether an expression is the sum of two that are no tiles."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and _is_flat(node.left, shapes)
        and _is_flat(node.right, shapes)
    )


def _is_flat(node: ast.expr, shapes: Mapping[str, Shape]) -> bool:
    return shape_of(node, shapes) is not Shape.TILE
