"""The *outer* move: sums of outer products become matrix products.

Before, a loop nest that adds one outer product a step, on the plain multipliers:

    for c in range(C):
        for t in range(T):
            x = tl.load(x_ptr + row * C * T + c * T + t, mask=rows, other=0.0)
            w = tl.load(w_ptr + (c * T + t) * N + col, mask=cols, other=0.0)
            acc += x[:, None] * w[None, :]

After, one loop whose step takes `width` terms at once, on the tensor cores:

    for step in range(0, C // 32 * T):
        t = step % T
        c = step // T * 32 + tl.arange(0, 32)
        x = tl.load(x_ptr + (row * C * T)[:, None] + (c * T)[None, :] + t, ...)
        w = tl.load(w_ptr + ((c * T + t) * N)[:, None] + col[None, :], ...)
        acc = tl.dot(x, w, acc, input_precision="tf32x3")

One loop variable of the nest becomes lanes where its extent is a multiple of the width, which a
constexpr condition guards (the old nest stays in its `else`). Where none is, all of them are
decoded from one index, with a mask on the last step.

Applies to nests of loops from 0 in steps of 1, of assignments alone, that end in one outer product
of two loaded float32 tiles. Refuses loops that carry other values, names that are assigned twice,
operands that do not depend on the lanes, tiles under 16, and other types.

Claim: other arithmetic. `tf32x3` splits each operand in three TF32 parts; its products are as exact
as float32's to within a few ulp, and the sum has another order.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence

from warpwright.proposers.rewrites.nests import Nest, nests_of
from warpwright.proposers.rewrites.outer_tiles import TiledBody
from warpwright.proposers.rewrites.refusal import DoesNotApply
from warpwright.proposers.rewrites.text import (
    constexpr_names,
    kernel_function,
    language_name,
    replace_statement,
)
from warpwright.syntax import syntax_tree
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView
from warpwright.types.trace import ConstantArgument, ScalarArgument, TensorArgument

ROWS_FIRST, TERMS_FIRST = "outer", "outer-transposed"
WIDTHS = (32, 16)
LEAST_TILE = 16
ALL_LOOPS = "*"
"""Stands for the loop where all of them become lanes together."""


def find_rows_first(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """The first such sum of each kernel, the left operand loaded as [rows, terms]."""
    return _finding(program, calls, ROWS_FIRST)


def find_terms_first(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """The same, loaded as [terms, rows] and transposed: lanes of a warp lie along the last axis,
    and rows may be what lies together in memory."""
    return _finding(program, calls, TERMS_FIRST)


def _finding(program: ProgramView, calls: Sequence[KernelCalls], name: str) -> tuple[Move, ...]:
    moves: list[Move] = []
    for call in calls:
        if not _float32(call) or not _large_tiles(call):
            continue
        function = kernel_function(program.source, call.name)
        for nest in nests_of(function)[:1]:
            lanes = _lanes(nest, _known(call))
            for loop, width in lanes:
                arguments = (("nest", 0), ("lanes", loop), ("width", width))
                moves.append(Move(name, call.name, arguments, Claim.OTHER_ARITHMETIC))
    return tuple(move for move in moves if _applies(program.source, move))


def apply(source: str, move: Move) -> str:
    """The program with the nest of `move` as matrix products. Raises DoesNotApply."""
    tl = language_name(source)
    function = kernel_function(source, move.kernel)
    nests = nests_of(function)
    number = int(str(move.argument("nest")))
    if number >= len(nests):
        raise DoesNotApply(f"{move.kernel} adds up no outer products")
    nest = nests[number]
    lanes, width = str(move.argument("lanes")), int(str(move.argument("width")))
    body = TiledBody(nest, function, tl, width, move.name == TERMS_FIRST)
    if lanes == ALL_LOOPS:
        loop, condition = body.flat(), None
    else:
        loop, condition = body.by(lanes), f"{nest.extent(lanes)} % {width} == 0"
        _constexpr(function, nest.extent(lanes))
    told = f"# {width} terms of the sum at a time, as a matrix product on the tensor cores."
    return replace_statement(source, nest.statement, loop, condition, told)


def _applies(source: str, move: Move) -> bool:
    try:
        apply(source, move)
    except DoesNotApply:
        return False
    return True


def _lanes(nest: Nest, known: dict[str, int]) -> list[tuple[str, int]]:
    """Which loop becomes lanes, and how many: one whose extent the width divides, else all."""
    for loop in nest.loops:
        extent = nest.extent_value(loop.variable, known)
        if extent is None:
            continue
        width = next((width for width in WIDTHS if extent % width == 0), None)
        if width is not None:
            return [(loop.variable, width)]
    extents = [nest.extent_value(loop.variable, known) for loop in nest.loops]
    if any(extent is None for extent in extents):
        return []
    total = math.prod(extent for extent in extents if extent is not None)
    return [(ALL_LOOPS, width) for width in WIDTHS if total >= width][:1]


def _known(call: KernelCalls) -> dict[str, int]:
    """Integer arguments that are the same in every launch."""
    values: dict[str, set[int]] = {}
    for launch in call.launches:
        for name, argument in launch.arguments.items():
            if isinstance(argument, ScalarArgument | ConstantArgument) and isinstance(
                argument.value, int
            ):
                values.setdefault(name, set()).add(argument.value)
    return {name: found.pop() for name, found in values.items() if len(found) == 1}


def _float32(call: KernelCalls) -> bool:
    tensors = [
        argument
        for launch in call.launches
        for argument in launch.arguments.values()
        if isinstance(argument, TensorArgument)
    ]
    return bool(tensors) and all(tensor.dtype == "float32" for tensor in tensors)


def _large_tiles(call: KernelCalls) -> bool:
    """Whether every tile size that a config or the launch sets is one that `tl.dot` takes."""
    sizes = [
        value
        for config in call.configs
        for name, value in config.meta
        if name.upper().startswith("BLOCK") and isinstance(value, int)
    ]
    return all(size >= LEAST_TILE for size in sizes)


def _constexpr(function: ast.FunctionDef, extent: str) -> None:
    """Refuses an extent that is not known when the kernel is compiled: the guard would be a branch
    at run time, and both loops would be in the kernel."""
    names = {
        node.id for node in ast.walk(syntax_tree(extent, "eval")) if isinstance(node, ast.Name)
    }
    if missing := names - constexpr_names(function):
        listed = ", ".join(sorted(missing))
        raise DoesNotApply(f"{listed} is not a compile-time size")
