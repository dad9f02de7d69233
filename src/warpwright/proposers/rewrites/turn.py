"""The *turn* move: a sum of outer products is kept with its two axes the other way around.

Before, the lanes of a warp lie along the columns; each lane loads all rows of its own:

    for c in range(C):
        x = tl.load(x_ptr + c * P + pixel, mask=pixel_ok, other=0.0)
        w = tl.load(w_ptr + c * F + filter, mask=filter_ok, other=0.0)
        acc += x[:, None] * w[None, :]

After, they lie along the rows, which may be what lies together in memory:

    acc = tl.trans(acc)
    for c in range(C):
        x = tl.load(x_ptr + c * P + pixel, mask=pixel_ok, other=0.0)
        w = tl.load(w_ptr + c * F + filter, mask=filter_ok, other=0.0)
        acc += x[None, :] * w[:, None]
    acc = tl.trans(acc)

The compiler gives a tile's lanes to its last axis, and the operands of a product follow the tile:
a warp reads a vector along the first axis one address at a time, each lane the same, and one along
the last axis each lane its own. Which is better depends on what the vectors stand for.

Applies to the nests of `nests.py` whose operands are a column and a row, in either order. Within
the nest every new axis changes places, and what has two axes from before is transposed. Refuses
whatever is not known to work element by element, values of two axes that are made in the nest and
read behind it or assigned elsewhere, and a sum that is no tile of known form.

Claim: bit-equal, since each element is the same sum of the same products in the same order; the
same sum where the kernel adds up lanes too, which may lie otherwise behind the nest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from warpwright.program.kernel_assignments import called_name
from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    kernels_of,
    stored_names,
)
from warpwright.proposers.rewrites.common.lane_order import claim_where_lanes_move
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import margin_of
from warpwright.proposers.rewrites.common.value_axes import (
    Shape,
    is_elementwise,
    new_axes,
    shape_of,
    shapes_before,
)
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.outer.nests import Nest, nests_of
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

NAME = "turn"
_TWO_AXES = (Shape.COLUMN, Shape.ROW, Shape.TILE)
_SIDEWAYS = frozenset({"range", "static_range", "arange", "program_id", "num_programs"})
"""Calls of which the result has no axis, or one that stays."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each such sum of each kernel, the last one first, so that none moves another."""
    moves = []
    for call, kernel in kernels_of(program.source, calls):
        claim = claim_where_lanes_move(call.name, program)
        moves += [
            Move(NAME, call.name, (("nest", number),), claim)
            for number in reversed(range(len(nests_of(kernel))))
        ]
    return tuple(that_apply(program.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The program with the nest's tile turned. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    nests = nests_of(kernel)
    number = int(str(move.argument("nest")))
    if number >= len(nests):
        raise DoesNotApply(f"{move.kernel} adds up no outer products")
    nest = nests[number]
    before = shapes_before(kernel.node, nest.statement)
    inside = _shapes(nest, before)
    _check(kernel, nest, before, inside)
    trans = kernel.builtin("trans")
    splices = [
        splice for node in nest.statement.body for splice in _turned(node, nest, trans, before)
    ]
    margin = margin_of(source, nest.statement)
    line = f"{margin}{nest.accumulator} = {trans}({nest.accumulator})\n"
    first, last = nest.statement.lineno, nest.statement.end_lineno or 0
    if lines_of(source)[first - 1][: nest.statement.col_offset].strip():
        raise DoesNotApply("the loop shares its line with another statement")
    told = (
        f"{margin}# The tile's other axis is its last one here: the lanes of a warp lie along it.\n"
    )
    splices += [
        Splice((first, 0), (first, 0), told + line),
        Splice((last + 1, 0), (last + 1, 0), line),
    ]
    return spliced(source, splices)


def _shapes(nest: Nest, before: Mapping[str, Shape]) -> dict[str, Shape]:
    """The forms of names within the nest."""
    shapes = dict(before)
    for loop in nest.loops:
        shapes[loop.variable] = Shape.SCALAR
    for step in nest.steps:
        shapes[step.name] = shape_of(step.value, shapes)
    return shapes


def _check(
    kernel: KernelText, nest: Nest, before: Mapping[str, Shape], inside: Mapping[str, Shape]
) -> None:
    """Raises DoesNotApply where turning could change more than the tile's layout."""
    if before.get(nest.accumulator) is not Shape.TILE:
        raise DoesNotApply(f"{nest.accumulator} is no tile of known form")
    if {shape_of(nest.left, inside), shape_of(nest.right, inside)} != {Shape.COLUMN, Shape.ROW}:
        raise DoesNotApply("the sum is not of outer products")
    for step in nest.steps:
        if inside[step.name] is Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {step.name} is not known")
    for call in _calls(nest.statement):
        known = is_elementwise(call, inside) or called_name(call) in _SIDEWAYS
        if not known and shape_of(call, inside) is not Shape.SCALAR:
            raise DoesNotApply(f"{ast.unparse(call.func)} may not work element by element")
    two = {name for name in nest.own if inside[name] in _TWO_AXES}
    if behind := two & live_after(kernel.node, nest.statement):
        raise DoesNotApply(f"{', '.join(sorted(behind))} is read behind the loop")
    stored = stored_names([kernel.node])
    if twice := {name for name in two if stored.count(name) != 1}:
        raise DoesNotApply(f"{', '.join(sorted(twice))} is assigned elsewhere too")


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _turned(node: ast.AST, nest: Nest, trans: str, before: Mapping[str, Shape]) -> Iterator[Splice]:
    """Every new axis in its other place; what has two axes from before the nest transposed."""
    if isinstance(node, ast.Subscript):
        axes = new_axes(node)
        if axes == (True, False):
            yield replaced(node.slice, ":, None")
        elif axes == (False, True):
            yield replaced(node.slice, "None, :")
        else:
            raise DoesNotApply(f"{ast.unparse(node)} is no vector with a new axis")
        yield from _turned(node.value, nest, trans, before)
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        shape = before.get(node.id, Shape.SCALAR)
        outside = node.id not in nest.own and node.id != nest.accumulator
        if outside and shape is Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {node.id} is not known")
        if outside and shape in _TWO_AXES:
            yield replaced(node, f"{trans}({node.id})")
    for child in ast.iter_child_nodes(node):
        yield from _turned(child, nest, trans, before)


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a sum of outer products is kept with its axes the other way around, so that the "
        "lanes of a warp lie along its rows",
        place=75,
        worth=2.0,
    ),
)
