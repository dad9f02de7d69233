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
decoded from one index; loads of lanes beyond the last term are masked, and both operands are zero
there.

Applies to nests of loops from 0 in steps of 1, of assignments alone, that end in one outer product
added to float32 zeros; each operand is loaded, and depends on the lanes. Refuses loops that carry
other values, names that are read behind the nest, steps with effects or of operations that are not
elementwise, a tile under 16, and values of other types than float32.

Claim: other arithmetic. `tf32x3` splits each operand in two TF32 parts and adds three of their four
products; the one left out is 2**-22 of the whole. The sum has another order. NaN and infinity come
out where the products have them; operands under 2**-126 count as zero.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    kernels_of,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.statement_text import (
    INDENT,
    MAX_COLUMNS,
    comments_of,
    margin_of,
    replace_statement,
)
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of, shapes_before
from warpwright.proposers.rewrites.outer.arithmetic import value_of, values
from warpwright.proposers.rewrites.outer.float32 import (
    all_float32,
    is_float32,
    reinterprets,
)
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.outer.nests import Nest, free_name, nests_of
from warpwright.proposers.rewrites.outer.outer_tiles import TiledBody
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import TensorArgument
from warpwright.types.program import ProgramView

ROWS_FIRST, TERMS_FIRST = "outer", "outer-transposed"
WIDTHS = (32, 16)
LEAST_TILE = 16
ALL_LOOPS = "*"
"""Stands for the loop where all of them become lanes together."""


def find_rows_first(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each such sum of each kernel, the left operand loaded as [rows, terms]."""
    return _finding(program, calls, ROWS_FIRST)


def find_terms_first(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """The same, loaded as [terms, rows] and transposed: lanes of a warp lie along the last axis,
    and rows may be what lies together in memory."""
    return _finding(program, calls, TERMS_FIRST)


def _finding(program: ProgramView, calls: Sequence[KernelCalls], name: str) -> tuple[Move, ...]:
    """Sums from the last to the first, so that a sum that is rewritten moves none before it."""
    moves: list[Move] = []
    for call, kernel in kernels_of(program.source, calls):
        if not all_float32(call):
            continue
        known = argument_values(call)
        for number, nest in reversed(list(enumerate(nests_of(kernel)))):
            if not _large_tile(kernel, nest, known) or _is_kept(kernel, nest):
                continue
            if any(loop.unrolled for loop in nest.loops) and not _in_32_bits(call):
                continue
            wanted = (
                Move(name, call.name, (("nest", number), ("lanes", loop), ("width", width)),
                     Claim.OTHER_ARITHMETIC)
                for loop, width in _lanes(nest, known)
            )  # fmt: skip
            moves += islice(that_apply(program.source, wanted, apply), 1)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with the nest of `move` as matrix products. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    nests = nests_of(kernel)
    number = int(str(move.argument("nest")))
    if number >= len(nests):
        raise DoesNotApply(f"{move.kernel} adds up no outer products")
    nest = nests[number]
    lanes, width = str(move.argument("lanes")), int(str(move.argument("width")))
    variables = [loop.variable for loop in nest.loops]
    if lanes != ALL_LOOPS and lanes not in variables:
        raise DoesNotApply(f"there is no loop over {lanes}")
    condition = None if lanes == ALL_LOOPS else _condition(kernel, nest.extent(lanes), width)
    _check_float32(kernel, nest)
    names = _new_names(kernel, nest)
    new, shapes = nest.renamed(names), _shapes(kernel, nest, names)
    comments = comments_of(source, nest.statement) if condition is None else []
    columns = MAX_COLUMNS - len(margin_of(source, nest.statement))
    columns -= len(INDENT) if condition is not None else 0
    terms_first = move.name == TERMS_FIRST
    body = TiledBody(
        new, kernel, shapes, width, columns, terms_first=terms_first, comments=comments
    )
    loop = body.flat() if lanes == ALL_LOOPS else body.by(names.get(lanes, lanes))
    told = f"# {width} terms of the sum at a time, as a matrix product on the tensor cores."
    return replace_statement(source, nest.statement, loop, condition, told)


def _lanes(nest: Nest, known: Mapping[str, frozenset[int]]) -> Iterator[tuple[str, int]]:
    """Which loop may become lanes, and how many: those whose extent the width divides, then all."""
    extents = [values(loop.extent, known) for loop in nest.loops]
    for loop, extent in zip(nest.loops, extents, strict=True):
        for width in WIDTHS:
            if extent is not None and all(value and value % width == 0 for value in extent):
                yield loop.variable, width
                break
    if all(extent is not None for extent in extents):
        terms = math.prod(min(extent) for extent in extents if extent is not None)
        yield from [(ALL_LOOPS, width) for width in WIDTHS if terms >= width][:1]


def _in_32_bits(call: KernelCalls) -> bool:
    """Whether 32 bits count the elements of each tensor. Products of the variable of a
    `static_range` are folded without a limit, those of the new loop's are not."""
    return all(
        math.prod(argument.shape) < 2**31
        for launch in call.launches
        for argument in launch.arguments.values()
        if isinstance(argument, TensorArgument)
    )


def _large_tile(kernel: KernelText, nest: Nest, known: Mapping[str, frozenset[int]]) -> bool:
    """Whether the accumulator has no side under `LEAST_TILE`, whatever the config."""
    sizes = [values(side, known) for zeros in _zeros(kernel, nest) for side in _sides(zeros)]
    return bool(sizes) and all(size is not None and min(size) >= LEAST_TILE for size in sizes)


def _zeros(kernel: KernelText, nest: Nest) -> list[ast.expr]:
    """What the accumulator is assigned outside the nest, before it or in a loop around it.

    Sums in other loops are left out: a loop carries a name in one type alone.
    """
    last = nest.statement.end_lineno or 0
    around: set[ast.AST] = set()
    apart = set(ast.walk(nest.statement))
    summed: set[ast.AST] = set()
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.For | ast.While) and node is not nest.statement:
            inside = set(ast.walk(node))
            if nest.statement in inside:
                around |= inside
            elif not isinstance(node, ast.For) or kernel.called(node.iter) == "range":
                summed |= inside
    found: list[ast.expr] = []
    for node in ast.walk(kernel.node):
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) or node in apart:
            continue
        if nest.accumulator not in stored_names([node]):
            continue
        sums = node in summed and nest.accumulator in loaded_names([node])
        if not sums and (node.lineno < last or node in around):
            found.append(node.value or ast.Constant(None))
    return found


def _sides(zeros: ast.expr) -> list[ast.expr]:
    shape = zeros.args[0] if isinstance(zeros, ast.Call) and zeros.args else None
    return list(shape.elts) if isinstance(shape, ast.Tuple | ast.List) else []


def _is_kept(kernel: KernelText, nest: Nest) -> bool:
    """Whether a nest is the one that an earlier move of this kind kept in its `else`."""
    return any(
        isinstance(node, ast.If)
        and node.orelse == [nest.statement]
        and any(
            kernel.called(inner) == "dot" and nest.accumulator in stored_names(node.body)
            for statement in node.body
            for inner in ast.walk(statement)
        )
        for node in ast.walk(kernel.node)
    )


def _condition(kernel: KernelText, extent: ast.expr, width: int) -> str | None:
    """The guard of lanes along one loop, None where it always holds.

    Refuses an extent that is not known when the kernel is compiled: both loops would be in it.
    """
    value = value_of(extent)
    if value is not None and value % width == 0:
        return None
    names = {node.id for node in ast.walk(extent) if isinstance(node, ast.Name)}
    if missing := names - kernel.constants:
        raise DoesNotApply(f"{', '.join(sorted(missing))} is not a compile-time size")
    return ast.unparse(
        ast.Compare(
            ast.BinOp(extent, ast.Mod(), ast.Constant(width)), [ast.Eq()], [ast.Constant(0)]
        )
    )


def _check_float32(kernel: KernelText, nest: Nest) -> None:
    """Refuses operands and a sum that are not surely float32."""
    if reinterprets(kernel):
        raise DoesNotApply(f"{kernel.node.name} reads memory as another type")
    stores = stored_names([kernel.node])
    local = {step.name: step.value for step in nest.steps}
    local |= {
        node.targets[0].id: node.value
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and stores.count(node.targets[0].id) == 1
        and node.targets[0].id not in local
    }
    for operand in (nest.left, nest.right):
        if not is_float32(operand, kernel, local):
            raise DoesNotApply(f"{ast.unparse(operand)} is not surely a float32 value")
    zeros = _zeros(kernel, nest)
    if not zeros or not all(
        kernel.called(zero) in ("zeros", "full") and is_float32(zero, kernel, {}) for zero in zeros
    ):
        raise DoesNotApply(f"{nest.accumulator} does not start as float32 zeros")


def _new_names(kernel: KernelText, nest: Nest) -> dict[str, str]:
    """New names for those that the nest shares with other places: a loop carries a name that is
    there before it, which must not change its form. Refuses one that is read behind the nest."""
    if behind := nest.own & live_after(kernel.node, nest.statement):
        raise DoesNotApply(f"{', '.join(sorted(behind))} is read behind the loop")
    before = {
        node.id
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and node.lineno < nest.statement.lineno
    } | {parameter.arg for parameter in kernel.parameters}
    taken = before | {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    return {name: free_name(name, taken) for name in sorted(nest.own & before)}


def _shapes(kernel: KernelText, nest: Nest, names: Mapping[str, str]) -> dict[str, Shape]:
    """The forms of all names as the nest has them. Refuses a sum that is no tile."""
    shapes = shapes_before(kernel.node, nest.statement)
    if shapes.get(nest.accumulator) is not Shape.TILE:
        raise DoesNotApply(f"{nest.accumulator} is no tile")
    new = nest.renamed(dict(names))
    for loop in new.loops:
        shapes[loop.variable] = Shape.SCALAR
    for step in new.steps:
        shapes[step.name] = shape_of(step.value, shapes)
    return shapes


REWRITES = (
    Rewrite(
        ROWS_FIRST,
        find_rows_first,
        apply,
        "sums of outer products became matrix products of {width} terms a step, for the "
        "tensor cores",
        place=90,
        worth=2.5,
        then=("split",),
    ),
    Rewrite(
        TERMS_FIRST,
        find_terms_first,
        apply,
        "sums of outer products became matrix products of {width} terms a step, for the "
        "tensor cores, one operand loaded transposed",
        place=100,
        worth=2.5,
    ),
)
