"""The *partials* move: each lane keeps a sum of its own, and the lanes are added up once.

Before, the lanes of a block meet in every step, through shared memory and a barrier:

    for start in range(0, N, BLOCK):
        x = tl.load(x_ptr + row * N + start + lanes, mask=start + lanes < N, other=0.0)
        total += tl.sum(x, axis=0)

After:

    total_lanes = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, N, BLOCK):
        x = tl.load(x_ptr + row * N + start + lanes, mask=start + lanes < N, other=0.0)
        total_lanes += x
    total += tl.sum(total_lanes, axis=0)

Sums, maxima and minima; along one axis of a tile (`acc += tl.sum(a * b, axis=1)`) or all axes; over
several nested loops at once, as long as nothing in them reads the total. A name for one step's
result between the two is looked through.

Applies to values that are surely float32 (all tensors of all launches are, and the kernel names no
float64) whose axes have lengths that the text tells by constants. Refuses a total that the loop
reads or assigns otherwise, a result of a step that is read again, and what would fill the registers
of every config.

Claim: the same sum in another order. A lane adds up fewer terms than the total did, so the error is
rather smaller. What the total starts from does not matter.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.block_extents import (
    Extents,
    constant_extents,
    reduction_of,
)
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.lane_room import room_for_lanes
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced, whole_lines
from warpwright.proposers.rewrites.common.statement_text import margin_of
from warpwright.proposers.rewrites.common.step_count import trip_count
from warpwright.proposers.rewrites.common.totals import taken_on
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.outer.float32 import (
    all_float32,
    is_float32,
    reinterprets,
)
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "partials"
_STARTS = {"max": 'float("-inf")', "min": 'float("inf")'}


@dataclass(frozen=True, slots=True)
class _Total:
    """`name` takes on, in each step of `loop`, the `kind` of `value` along `axis` (None: all).

    `statement` does so; `between` is the statement before it that names the step's result.
    """

    name: str
    kind: str
    value: ast.expr
    axis: int | None
    loop: ast.For | ast.While
    statement: ast.stmt
    between: ast.Assign | None


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a kernel, for all totals that loops of more than one step make."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            if not all_float32(call):
                continue
            chosen = _worthwhile(kernel, call)
            move = Move(NAME, call.name, (("totals", chosen),), Claim.SAME_SUM)
            apply(program.source, move)
            moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with those totals added up behind their loops. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    if reinterprets(kernel):
        raise DoesNotApply(f"{move.kernel} reads memory as another type")
    if any(kernel.path(node) == "float64" for node in ast.walk(kernel.node)):
        raise DoesNotApply(f"{move.kernel} may add up in float64, and lanes would in float32")
    totals = list(_totals(kernel))
    chosen = move.argument("totals")
    if not isinstance(chosen, tuple) or not chosen:
        raise DoesNotApply(f"{move.kernel} reduces no block in a loop")
    if not all(isinstance(number, int) and number < len(totals) for number in chosen):
        raise DoesNotApply(f"{move.kernel} has {len(totals)} such totals")
    taken = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    splices: list[Splice] = []
    grouped: dict[ast.For | ast.While, list[tuple[str, str]]] = {}
    for total in (totals[int(str(number))] for number in chosen):
        lanes = free_name(f"{total.name}_lanes", taken)
        start, step, end = _lines(kernel, total, _shape(kernel, total), lanes)
        grouped.setdefault(total.loop, []).append((start, end))
        splices.append(replaced(total.statement, step))
        if total.between is not None:
            splices.append(whole_lines(total.between, total.between, ""))
    # Where an outer and an inner loop end on one line, what is listed later stands first.
    for loop in sorted(grouped, key=lambda one: one.lineno):
        splices += _around(source, loop, grouped[loop])
    return spliced(source, splices)


def _around(
    source: str, loop: ast.For | ast.While, lines: Sequence[tuple[str, str]]
) -> tuple[Splice, Splice]:
    """The partial sums of a loop before it, the totals behind it."""
    margin = margin_of(source, loop)
    told = "# Each lane keeps a result of its own in the loop; they meet behind it."
    before = [told, *(start for start, _ in lines)]
    first, behind = loop.lineno, (loop.end_lineno or 0) + 1
    return (
        Splice((first, 0), (first, 0), "".join(f"{margin}{line}\n" for line in before)),
        Splice((behind, 0), (behind, 0), "".join(f"{margin}{line}\n" for _, line in lines)),
    )


def _worthwhile(kernel: KernelText, call: KernelCalls) -> tuple[int, ...]:
    """The totals to change: those of loops of more than one step, as registers allow."""
    known = argument_values(call)
    sizes = {name: max(found) for name, found in known.items()}
    room, chosen = room_for_lanes(call), []
    for number, total in enumerate(_totals(kernel)):
        if isinstance(total.loop, ast.For) and trip_count(total.loop, sizes) in (0, 1):
            continue
        with suppress(DoesNotApply):
            sides = [values(_parsed(side), known) for side in _shape(kernel, total)]
            if any(not side for side in sides):
                continue
            held = math.prod(min(side) for side in sides if side)
            if held <= room:
                room -= held
                chosen.append(number)
    return tuple(chosen)


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _totals(kernel: KernelText) -> Iterator[_Total]:
    """All totals of all loops that this move can read, in source order."""
    for block, loops in _blocks(kernel.node.body, ()):
        for place, statement in enumerate(block):
            read = _read(kernel, block, place, statement) if loops else None
            if read is None:
                continue
            name, kind, value, axis, between = read
            with suppress(DoesNotApply):
                loop = _outermost(name, loops, statement)
                total = _Total(name, kind, value, axis, loop, statement, between)
                _check(kernel, total, block)
                yield total


def _blocks(
    body: list[ast.stmt], loops: tuple[ast.For | ast.While, ...]
) -> Iterator[tuple[list[ast.stmt], tuple[ast.For | ast.While, ...]]]:
    """Every block of statements with the loops around it, the outermost first."""
    yield body, loops
    for node in body:
        if isinstance(node, ast.For | ast.While):
            yield from _blocks(node.body, (*loops, node))
        elif isinstance(node, ast.If):
            yield from _blocks(node.body, loops)
            if node.orelse:
                yield from _blocks(node.orelse, loops)


def _read(
    kernel: KernelText, block: list[ast.stmt], place: int, statement: ast.stmt
) -> tuple[str, str, ast.expr, int | None, ast.Assign | None] | None:
    """The name, kind, value and axis of `s += tl.sum(v, axis=0)` and of its other spellings."""
    found = taken_on(kernel, statement)
    if found is None:
        return None
    name, kind, step = found
    between = None
    if isinstance(step, ast.Name) and place:
        before = block[place - 1]
        named = isinstance(before, ast.Assign) and len(before.targets) == 1
        if named and ast.unparse(before.targets[0]) == step.id:  # type: ignore[attr-defined]
            between = before
            step = before.value  # type: ignore[attr-defined]
    reduction = reduction_of(kernel, step)
    if reduction is None or kernel.called(step) != kind:
        return None
    assert between is None or isinstance(between, ast.Assign)
    return name, kind, *reduction, between


def _outermost(
    name: str, loops: tuple[ast.For | ast.While, ...], statement: ast.stmt
) -> ast.For | ast.While:
    """The outermost loop in which only the statement names the total. Raises DoesNotApply."""
    here = _mentions(name, statement)
    alone = [loop for loop in loops if _mentions(name, loop) == here]
    if not alone:
        raise DoesNotApply(f"the loop names {name} elsewhere too")
    return alone[0]


def _mentions(name: str, node: ast.AST) -> int:
    return sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _check(kernel: KernelText, total: _Total, block: list[ast.stmt]) -> None:
    """Raises DoesNotApply where the step's result is read again or may be no float32."""
    behind = live_after(kernel.node, total.loop)
    if total.loop.orelse or total.name not in behind:
        raise DoesNotApply(f"nobody reads {total.name} behind the loop")
    if total.between is not None:
        name = total.between.targets[0].id  # type: ignore[attr-defined]
        twice = loaded_names([total.loop]).count(name) != 1
        if twice or name in behind:
            raise DoesNotApply(f"{name} is read again")
    first = total.between or total.statement
    local: dict[str, ast.expr] = {}
    for node in block[: block.index(first)]:
        for name in stored_names([node]):
            local.pop(name, None)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            local[node.targets[0].id] = node.value
    local = _settled(kernel, local, block[: block.index(first)])
    if not is_float32(total.value, kernel, local):
        raise DoesNotApply(f"{ast.unparse(total.value)} may be no float32")
    lines = lines_of(kernel.source)
    for node in (total.loop, total.statement, *([total.between] if total.between else [])):
        if lines[node.lineno - 1][: node.col_offset].strip():
            raise DoesNotApply("a statement shares its line with another")
    for node, after in itertools.pairwise(block):
        if node in (total.statement, total.between) and after.lineno <= (node.end_lineno or 0):
            raise DoesNotApply("a statement shares its line with another")


def _settled(
    kernel: KernelText, local: dict[str, ast.expr], block: list[ast.stmt]
) -> dict[str, ast.expr]:
    """What names are that the block, or else the kernel, assigns once: the same wherever read."""
    every = stored_names(kernel.node.body)
    nodes = (node for node in ast.walk(kernel.node) if isinstance(node, ast.Assign))
    once = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node.targets[0], ast.Name) and every.count(node.targets[0].id) == 1
    }
    stored = stored_names(block)
    return once | {name: value for name, value in local.items() if stored.count(name) == 1}


def _shape(kernel: KernelText, total: _Total) -> Extents:
    """The shape of the partial sums. Raises DoesNotApply where it is not made of constants."""
    found = constant_extents(kernel, total.value, total.between or total.statement)
    if not found:
        raise DoesNotApply(f"{ast.unparse(total.value)} is no block")
    if total.axis is not None and total.axis >= len(found):
        raise DoesNotApply(f"{ast.unparse(total.value)} has no axis {total.axis}")
    return found


def _lines(kernel: KernelText, total: _Total, shape: Extents, lanes: str) -> tuple[str, str, str]:
    """What stands before the loop, in it and behind it."""
    sides = f"({', '.join(shape)}{',' if len(shape) == 1 else ''})"
    dtype = f"dtype={kernel.builtin('float32')}"
    value = ast.get_source_segment(kernel.source, total.value) or ""
    axis = "" if total.axis is None else f", axis={total.axis}"
    whole = f"{kernel.builtin(total.kind)}({lanes}{axis})"
    if total.kind == "sum":
        start = f"{lanes} = {kernel.builtin('zeros')}({sides}, {dtype})"
        return start, f"{lanes} += {value}", f"{total.name} += {whole}"
    start = f"{lanes} = {kernel.builtin('full')}({sides}, {_STARTS[total.kind]}, {dtype})"
    pair = kernel.builtin(f"{total.kind}imum")
    step = f"{lanes} = {pair}({lanes}, {value})"
    return start, step, f"{total.name} = {pair}({total.name}, {whole})"


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "each lane keeps a sum of its own in a loop, and the lanes are added up once behind it",
        place=95,
        alone=False,
        refines=True,
    ),
)
