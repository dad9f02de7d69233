"""The *scalarise* move: what all lanes of a block have in common is one number.

Before, each lane takes its flat index apart, and loads its own copy of what follows:

    offs = pid * BLOCK + tl.arange(0, BLOCK)
    w = offs % W
    t = offs // W
    h = t % H
    c = t // H
    scale = tl.load(s_ptr + c, mask=offs < total, other=0.0)

After, where W is a multiple of BLOCK, a block lies within one row:

    first_offs = pid * BLOCK
    if W % BLOCK == 0:
        w = first_offs % W + tl.arange(0, BLOCK)
        t = first_offs // W
        h = t % H
        c = t // H
        scale = tl.load(s_ptr + c, mask=first_offs < total, other=0.0)
    else:
        …

Where sizes do not divide, the same under a condition at run time (`first_offs // W ==
(first_offs + (BLOCK - 1)) // W`): most blocks lie within a row, the others run as before. The
coarsest digits may be scalars where finer ones are not: `offs // (H * W)` where `H * W` divides.

Applies to indices of the form scalar + arange that are assigned once, to the statements behind
them in the same list. Scalars spread where vectors stood; a new axis of a scalar goes. A load whose
address became one number has a scalar mask: the mask's scalars and `first < bound` for
`offs < bound`. Lanes behind the bound then hold what the block's first lane loads, where no store
and no other lane reads them; elsewhere `tl.where` gives them what they had. A load under a mask
with other lanes stays one of all lanes. Refuses where what became scalar goes into a reduction, a
product, a function that is not known to work element by element, or changes its form in a loop;
and a block whose start may change, or be below zero, where a quotient rounds up.

Claim: bit-equal. An index beyond 31 bits would be divided otherwise, and is outside of its tensor
in the parent too.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import islice

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    kernels_of,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.scalarise.branch_text import BlockChange, written
from warpwright.proposers.rewrites.scalarise.flat_index import FlatIndex, Sizes, flat_indices
from warpwright.proposers.rewrites.scalarise.levels import (
    DIVIDES,
    WITHIN,
    condition,
    finest,
    levels_of,
    places,
)
from warpwright.proposers.rewrites.scalarise.thin_values import ThinValues
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "scalarise"
_MOST_NAMES = 8


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """Moves for each flat index: the finest digit that whole blocks share."""
    moves: list[Move] = []
    for call, kernel in kernels_of(program.source, calls):
        sizes = Sizes(kernel)
        for index in flat_indices(kernel, sizes):
            wanted = (
                Move(
                    NAME,
                    call.name,
                    (("index", index.name), ("size", str(level)), ("when", how)),
                    Claim.BIT_EQUAL,
                )
                for level, how in levels_of(index, sizes, call)
            )
            moves += islice(that_apply(program.source, wanted, apply), 1)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with the quotients of one index as scalars. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    sizes = Sizes(kernel)
    name, how = str(move.argument("index")), str(move.argument("when"))
    index = next((i for i in flat_indices(kernel, sizes) if i.name == name), None)
    if index is None:
        raise DoesNotApply(f"{name} of {move.kernel} is no flat index")
    level = sizes.of(ast.parse(str(move.argument("size")), mode="eval").body)
    if level is None or level == ONE:
        raise DoesNotApply("the move names no size")
    if how == DIVIDES:
        _check_constants(kernel, index, level, sizes)
    first, line = _first(kernel, index)
    if _is_done(index, first, sizes):
        raise DoesNotApply(f"{name} has a branch for blocks of one row already")
    thin = ThinValues(kernel, index, level, first, sizes)
    thin.read()
    if not thin.thin:
        raise DoesNotApply(f"no digit of {name} is one number for a block")
    if how == WITHIN and not thin.scalar_loads and level != finest(index, sizes):
        raise DoesNotApply(f"too little follows from the digits of {level} and above")
    return written(source, BlockChange(kernel, index, level, how, first, line, thin))


def _is_done(index: FlatIndex, first: str, sizes: Sizes) -> bool:
    """Whether the statements behind an index ask already what a move would ask."""
    asked = {
        ast.unparse(node.test)
        for statement in index.behind
        for node in ast.walk(statement)
        if isinstance(node, ast.If)
    }
    asking = {
        ast.unparse(ast.parse(condition(index, level, how, first), mode="eval").body)
        for level in places(index, sizes)
        for how in (DIVIDES, WITHIN)
    }
    return bool(asked & asking)


def _check_constants(kernel: KernelText, index: FlatIndex, level: Extent, sizes: Sizes) -> None:
    if not {*level.names, *index.lanes.names} <= kernel.constants:
        raise DoesNotApply(f"{level} or {index.lanes} is no compile-time constant")
    if not _is_multiple(kernel, index.first, index.lanes, sizes):
        raise DoesNotApply(f"{index.name} does not start at a multiple of {index.lanes}")
    if _takes_away(index.first, sizes):
        raise DoesNotApply(f"{index.name} may start below zero, where quotients round up")


def _takes_away(node: ast.expr, sizes: Sizes, depth: int = 0) -> bool:
    """Whether something is subtracted in a number, names looked through."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Sub | ast.USub):
            return True
        value = sizes.value(inner.id) if isinstance(inner, ast.Name) else None
        if value is not None and (depth > _MOST_NAMES or _takes_away(value, sizes, depth + 1)):
            return True
    return False


def _is_multiple(kernel: KernelText, node: ast.expr, of: Extent, sizes: Sizes) -> bool:
    """Whether a number is surely a multiple of a size."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for side in (node.left, node.right):
            size = sizes.of(side)
            if size is not None and size.over(of) is not None:
                return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return all(_is_multiple(kernel, side, of, sizes) for side in (node.left, node.right))
    if isinstance(node, ast.Constant):
        return node.value == 0
    if isinstance(node, ast.Name):
        value = sizes.value(node.id)
        if value is not None:
            return _is_multiple(kernel, value, of, sizes)
        return stored_names([kernel.node]).count(node.id) == 1 and any(
            _steps_by(kernel, loop, node.id, of, sizes)
            for loop in ast.walk(kernel.node)
            if isinstance(loop, ast.For)
        )
    return False


def _steps_by(kernel: KernelText, loop: ast.For, name: str, of: Extent, sizes: Sizes) -> bool:
    """Whether `for name in range(0, …, of)`."""
    if not isinstance(loop.target, ast.Name) or loop.target.id != name:
        return False
    call = loop.iter
    if not isinstance(call, ast.Call) or kernel.called(call) not in ("range", "static_range"):
        return False
    if len(call.args) != 3 or not _is_multiple(kernel, call.args[0], of, sizes):
        return False
    step = sizes.of(call.args[2])
    return step is not None and step.over(of) is not None


def _first(kernel: KernelText, index: FlatIndex) -> tuple[str, str | None]:
    """A name for the block's first index, and the line that gives it its value where one must."""
    stored = stored_names([kernel.node])
    node = index.first
    if isinstance(node, ast.Name):
        return node.id, None
    name = f"first_{index.name}"
    if name in stored or name in {parameter.arg for parameter in kernel.parameters}:
        raise DoesNotApply(f"{name} has a meaning already")
    return name, f"{name} = {ast.unparse(node)}"


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "what all lanes of a block have in common of their index {index} is worked out once, "
        "as a scalar, with all that follows from it",
        place=65,
        worth=1.1,
        then=("interior", "unroll"),
        refines=True,
    ),
)
