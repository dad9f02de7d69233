"""Expressions of a loop's step, where some of its scalars have become vectors of terms."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import loaded_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.common.value_axes import (
    HINTS,
    Shape,
    is_elementwise,
    new_axes,
    shape_of,
)

FIRST, LAST = "[:, None]", "[None, :]"
_CREATORS = ("arange", "zeros", "full", "program_id", "num_programs")
_LOADED_WITH = frozenset({"mask", "other", "cache_modifier", "eviction_policy"})
_BY_PLACE = ("pointer", "mask", "other")


def checked(node: ast.expr, shapes: Mapping[str, Shape], changed: Collection[str]) -> None:
    """Refuses what has an effect, and what cannot be computed on vectors of terms.

    `changed`: names that have an axis more now. Arguments of loads become keywords.
    """
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and called_name(inner) == "load":
            _check_load(inner, changed)
    for inner in ast.walk(node):
        told = ast.unparse(inner) if isinstance(inner, ast.expr) else ""
        touched = isinstance(inner, ast.expr) and bool(set(loaded_names([inner])) & set(changed))
        if isinstance(inner, ast.Call):
            _check_call(inner, shapes, told, touched=touched)
        elif isinstance(inner, ast.Lambda | ast.NamedExpr | ast.Starred):
            raise DoesNotApply(f"{told} stands in the loop")
        elif touched and (
            isinstance(inner, ast.IfExp | ast.BoolOp)
            or (isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not))
            or (isinstance(inner, ast.Compare) and len(inner.ops) > 1)
        ):
            raise DoesNotApply(f"{told} is not computed lane by lane")


def _check_call(node: ast.Call, shapes: Mapping[str, Shape], told: str, *, touched: bool) -> None:
    name = called_name(node)
    if name in HINTS or name in _CREATORS:
        if touched:
            raise DoesNotApply(f"{told} takes no vector of terms")
    elif not is_elementwise(node, shapes):
        raise DoesNotApply(f"{told} is not known to work element by element, without effects")


def _check_load(load: ast.Call, changed: Collection[str]) -> None:
    """Refuses other than plain loads, and one whose mask has lanes that its addresses lack."""
    named = {keyword.arg for keyword in load.keywords}
    if len(load.args) not in range(1, len(_BY_PLACE) + 1) or named - _LOADED_WITH:
        raise DoesNotApply(f"{ast.unparse(load)} is no plain load")
    by_place = zip(_BY_PLACE, load.args, strict=False)
    load.keywords[:0] = [ast.keyword(name, argument) for name, argument in by_place][1:]
    del load.args[1:]
    rest = loaded_names([keyword.value for keyword in load.keywords])
    if set(rest) & set(changed) and not set(loaded_names(load.args)) & set(changed):
        raise DoesNotApply(f"{ast.unparse(load)} has terms in its mask alone")


class Axes(ast.NodeTransformer):
    """Gives the values of an expression the axes of an operand.

    `own`: the subscript of the axis that its vectors lie along, `terms` that of `lanes`; `tiles`
    have both.
    """

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        tiles: Collection[str],
        lanes: Collection[str],
        own: str,
        terms: str,
    ) -> None:
        self._shapes, self._tiles, self._lanes = shapes, tiles, lanes
        self._own, self._terms = own, terms

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._tiles:
            return node
        if node.id in self._lanes:
            return parsed(f"{node.id}{self._terms}")
        shape = self._shapes.get(node.id, Shape.SCALAR)
        if shape is Shape.VECTOR:
            return parsed(f"{node.id}{self._own}")
        if shape is Shape.SCALAR or shape is {FIRST: Shape.COLUMN, LAST: Shape.ROW}[self._own]:
            return node
        raise DoesNotApply(f"{node.id} has another form than its operand")

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        inner = node.value
        vector = shape_of(inner, self._shapes) is Shape.VECTOR
        if new_axes(node) is None or not vector:
            raise DoesNotApply(f"{ast.unparse(node)} cannot be given another axis")
        return self.visit(inner)  # type: ignore[no-any-return]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return node  # of a module: what a method is called on is visited with its call

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if called_name(node) in _CREATORS or called_name(node) in HINTS:
            if shape_of(node, self._shapes) is Shape.SCALAR:
                return node
            if called_name(node) in HINTS or shape_of(node, self._shapes) is not Shape.VECTOR:
                raise DoesNotApply(f"{ast.unparse(node)} has another form than its operand")
            return parsed(f"({ast.unparse(node)}){self._own}")
        if called_name(node) == "to" and isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
            return node
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node


def also_masked(value: ast.expr, inside: str, changed: Collection[str], *, cleared: bool) -> bool:
    """Masks every load of a term with `inside` too; says whether the value is a load that is zero
    where `inside` does not hold. `cleared`: it has to be, where it is one and can."""
    for node in list(ast.walk(value)):
        if isinstance(node, ast.Call) and called_name(node) == "load":
            if not set(loaded_names(node.args)) & set(changed):
                continue
            _mask(node, inside)
    load = value
    while isinstance(load, ast.Call) and called_name(load) == "to":
        load = load.func.value  # type: ignore[attr-defined]
    if not isinstance(load, ast.Call) or called_name(load) != "load":
        return False
    others = [keyword.value for keyword in load.keywords if keyword.arg == "other"]
    if others or not cleared:
        return bool(others) and ast.unparse(others[0]) in ("0.0", "0")
    load.keywords.append(ast.keyword("other", ast.Constant(0.0)))
    return True


def _mask(load: ast.Call, inside: str) -> None:
    masks = [keyword for keyword in load.keywords if keyword.arg == "mask"]
    if masks:
        masks[0].value = ast.BinOp(masks[0].value, ast.BitAnd(), parsed(inside))
    else:
        load.keywords.insert(0, ast.keyword("mask", parsed(inside)))
