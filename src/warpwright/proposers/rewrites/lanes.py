"""The *lanes* move: a tile is loaded or stored along its other axis.

Before:

    x = tl.load(x_ptr + rows[:, None] + terms[None, :] * stride, mask=inside[:, None], other=0.0)

After, with the lanes of a warp along `rows`, which lie together in memory:

    x = tl.trans(tl.load(tl.trans(x_ptr + …), mask=tl.trans(inside[:, None]), other=0.0))

The compiler gives a tile's lanes to its last axis unless it can prove that another one is
contiguous, which takes sizes that divide evenly. Transposing what is only worked out costs nothing;
what was loaded goes through shared memory in any case where it feeds a `tl.dot`.

Applies to loads and stores of two axes whose pointers are a tile of sums. Refuses block pointers,
masks whose form is not known, and what is transposed already.

Claim: bit-equal, since the same elements are read and written; the same sum where the kernel adds
up lanes, which the compiler does in an order that it takes from how they lie.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.proposers.rewrites.common.kernel_text import KernelText, kernel_text, kernels_of
from warpwright.proposers.rewrites.common.lane_order import claim_where_lanes_move
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import replaced, spliced
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of, shapes_before
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

NAME = "lanes"
LINE = 96
_PLAIN = ("load", "store")
_FLAT = (Shape.COLUMN, Shape.ROW, Shape.TILE)


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each load and store of a tile, by its number among those of its kernel."""
    moves = []
    for call, kernel in kernels_of(program.source, calls):
        claim = claim_where_lanes_move(call.name, program)
        for number, (_, access) in enumerate(_accesses(kernel)):
            arguments = (("access", number), ("operation", kernel.called(access)))
            moves.append(Move(NAME, call.name, arguments, claim))
    return tuple(that_apply(program.source, moves, apply))


def is_of_a_store(move: Move) -> bool:
    """Whether the move transposes what is written."""
    return move.name == NAME and ("operation", "store") in move.arguments


def apply(source: str, move: Move) -> str:
    """The program with one access transposed. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    trans = kernel.builtin("trans")
    accesses = _accesses(kernel)
    number = int(str(move.argument("access")))
    if number >= len(accesses):
        raise DoesNotApply(f"{move.kernel} has no load or store number {number}")
    statement, call = accesses[number]
    shapes = shapes_before(kernel.node, statement)
    stores = kernel.called(call) == "store"
    if not call.args or shape_of(call.args[0], shapes) is not Shape.TILE:
        raise DoesNotApply("the pointers are no tile of two axes")
    if len(call.args) > 1 + stores or any(k.arg is None for k in call.keywords):
        raise DoesNotApply("its mask is given by position")
    parts = [_transposed(source, call.args[0], trans)]
    if stores:
        parts.append(_transposed(source, call.args[1], trans))
    for keyword in call.keywords:
        parts.append(f"{keyword.arg}={_keyword(source, keyword, shapes, trans)}")
    name = ast.get_source_segment(source, call.func)
    opening, closing = (f"{name}(", ")") if stores else (f"{trans}({name}(", "))")
    text = f"{opening}{', '.join(parts)}{closing}"
    if call.col_offset + len(text) > LINE or "\n" in text:
        margin = "\n" + " " * (statement.col_offset + 4)
        text = opening + "".join(f"{margin}{part}," for part in parts) + margin[:-4] + closing
    return spliced(source, [replaced(call, text)])


def _keyword(source: str, keyword: ast.keyword, shapes: dict[str, Shape], trans: str) -> str:
    """A keyword's value, transposed where it has two axes."""
    if keyword.arg in ("boundary_check", "padding_option"):
        raise DoesNotApply("it reads by a block pointer")
    if keyword.arg not in ("mask", "other"):
        return ast.get_source_segment(source, keyword.value) or ""
    shape = shape_of(keyword.value, shapes)
    if shape is Shape.SCALAR:
        return ast.get_source_segment(source, keyword.value) or ""
    if shape not in _FLAT:
        raise DoesNotApply(f"the form of its {keyword.arg} is not known")
    return _transposed(source, keyword.value, trans)


def _transposed(source: str, node: ast.expr, trans: str) -> str:
    return f"{trans}({ast.get_source_segment(source, node)})"


def _accesses(kernel: KernelText) -> list[tuple[ast.stmt, ast.Call]]:
    """Every load and store with the statement that it stands in, in source order."""
    found: list[tuple[ast.stmt, ast.Call]] = []
    for statement in ast.walk(kernel.node):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr)):
            found += [
                (statement, node)
                for node in ast.walk(statement)
                if isinstance(node, ast.Call) and kernel.called(node) in _PLAIN
            ]
    return sorted(found, key=lambda access: (access[1].lineno, access[1].col_offset))


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a tile is loaded or stored along its other axis, so that the lanes of a warp "
        "touch what lies together in memory",
        place=110,
        alone=False,
        refines=True,
    ),
)
