"""The text of one walk through a row that was two."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warpwright.proposers.rewrites.common.block_extents import BlockExtents
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, whole_lines
from warpwright.proposers.rewrites.common.statement_text import (
    MAX_COLUMNS,
    laid_out,
    margin_of,
    parsed,
)
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.passes.row_loops import RowTotal
from warpwright.proposers.rewrites.passes.row_walks import RowWalk


@dataclass(frozen=True, slots=True)
class WalkText:
    """Lines before the first loop, those that a step does with its values, behind the loop, and in
    the second loop's place."""

    before: Sequence[str]
    step: Sequence[str]
    behind: Sequence[str]
    second: Sequence[str]


def walk_splices(kernel: KernelText, walk: RowWalk, *, in_steps: bool) -> list[Splice]:
    """The changes of the text that make one walk of the two: lane by lane, or in blocks' steps."""
    top = walk.top
    taken = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    x = ast.get_source_segment(kernel.source, top.value) or ""
    first = []
    if not isinstance(top.value, ast.Name):
        name = free_name(f"{top.name}_step", taken)
        first.append(f"{name} = {x}")
        x = name
    text = _step_text(kernel, walk, taken, x) if in_steps else _lane_text(kernel, walk, taken, x)
    step = _laid_out([*first, *text.step], margin_of(kernel.source, top.statement)).strip()
    splices = [replaced(top.statement, step)]
    if top.between is not None:
        splices.append(whole_lines(top.between, top.between, ""))
    margin = margin_of(kernel.source, walk.first)
    start, behind = walk.first.lineno, (walk.first.end_lineno or 0) + 1
    return [
        *splices,
        Splice((start, 0), (start, 0), _laid_out(text.before, margin)),
        Splice((behind, 0), (behind, 0), _laid_out(text.behind, margin)),
        whole_lines(walk.second, walk.second, _laid_out(text.second, margin)),
    ]


def _lane_text(kernel: KernelText, walk: RowWalk, taken: set[str], x: str) -> WalkText:
    names = {
        "top": free_name(f"{walk.top.name}_lanes", taken),
        "sum": free_name(f"{walk.total.name}_lanes", taken),
        "gap": free_name(f"{walk.top.name}_gap", taken),
        "fade": free_name(f"{walk.total.name}_fade", taken),
    }
    return WalkText(
        _starts(kernel, walk, names),
        _step(kernel, walk, names, x),
        [_top(kernel, walk.top, names["top"])],
        _sum(kernel, walk, names),
    )


def _laid_out(lines: Sequence[str], margin: str) -> str:
    """Statements behind a margin; what is too long for a line is spread over several."""
    text = []
    for line in lines:
        room = MAX_COLUMNS - len(margin)
        name, _, value = line.partition(" = ")
        long = len(line) > room and not line.startswith("#")
        spread = laid_out(f"{name} = ", parsed(value), "", room) if long and value else [line]
        text += [f"{margin}{one}\n" for one in spread]
    return "".join(text)


def _starts(kernel: KernelText, walk: RowWalk, names: dict[str, str]) -> list[str]:
    sides = _sides(walk.extents)
    dtype = f"dtype={kernel.builtin('float32')}"
    return [
        "# One walk through the row: each lane keeps its greatest value so far, and the sum of its",
        "# exponentials beside that.",
        f'{names["top"]} = {kernel.builtin("full")}({sides}, float("-inf"), {dtype})',
        f"{names['sum']} = {kernel.builtin('zeros')}({sides}, {dtype})",
    ]


def _step(kernel: KernelText, walk: RowWalk, names: dict[str, str], x: str) -> list[str]:
    """What a step does with its values `x`."""
    where, top, total = kernel.builtin("where"), names["top"], names["sum"]
    gap, fade = names["gap"], names["fade"]
    lines = [
        f"{gap} = {where}({x} == {top}, 0.0, {kernel.builtin('abs')}({x} - {top}))",
        f"{fade} = {walk.term.of_gap(gap)}",
    ]
    # A masked lane is minus infinity: it is never greater, and counts for nothing.
    added = f"{where}({walk.mask}, {fade}, 0.0)" if walk.mask else fade
    grown = f"{total} * {fade} + 1.0"
    lines.append(f"{total} = {where}({x} > {top}, {grown}, {total} + {added})")
    return [*lines, f"{top} = {kernel.builtin('maximum')}({top}, {x})"]


def _top(kernel: KernelText, top: RowTotal, lanes: str) -> str:
    """The maximum behind the first loop."""
    pair = kernel.builtin("maximum")
    return f"{top.name} = {pair}({top.name}, {_reduced(top, lanes)})"


def _sum(kernel: KernelText, walk: RowWalk, names: dict[str, str]) -> list[str]:
    """The sum in the second loop's place."""
    lanes, where = names["sum"], kernel.builtin("where")
    scaled = f"{lanes} * {walk.term.of(names['top'])}"
    return [
        f"{lanes} = {where}({lanes} == 0.0, 0.0, {scaled})",
        f"{walk.total.name} += {_reduced(walk.total, lanes)}",
    ]


def _reduced(total: RowTotal, lanes: str) -> str:
    """The lanes reduced as the total's own steps were."""
    if total.reduction is None:
        return lanes
    told = [ast.unparse(one) for one in total.reduction.args[1:]]
    told += [f"{k.arg}={ast.unparse(k.value)}" for k in total.reduction.keywords]
    return f"{ast.unparse(total.reduction.func)}({', '.join([lanes, *told])})"


def _step_text(kernel: KernelText, walk: RowWalk, taken: set[str], x: str) -> WalkText:
    """The same with one maximum and one sum for all lanes, which meet in every step."""
    sides, spread, base = _met(kernel, walk)
    top, total = (free_name(f"{one.name}_so_far", taken) for one in (walk.top, walk.total))
    new, off = (free_name(f"{walk.top.name}_{word}", taken) for word in ("new", "base"))
    where, pair = kernel.builtin("where"), kernel.builtin("maximum")
    dtype = f"dtype={kernel.builtin('float32')}"
    fade = replace(walk.term, base=off, scaled=False).of(top)
    terms = replace(walk.term, base=off + spread, scaled=False).of(x)
    least = 'float("-inf")'
    step = [
        f"{new} = {pair}({top}, {_reduced(walk.top, x)})",
        f"{off} = {where}({new} == {least}, 0.0, {new})",
        f"{total} = {total} * {fade} + {_reduced(walk.total, terms)}",
        f"{total} += {where}({new} == {least}, 1.0, 0.0)",
        f"{top} = {new}",
    ]
    whole = f"{total} * {replace(walk.term, base=base).of(top)}"
    return WalkText(
        [
            "# One walk through the row: its greatest value so far, and the sum of exponentials.",
            f"{top} = {kernel.builtin('full')}({sides}, {least}, {dtype})",
            f"{total} = {kernel.builtin('zeros')}({sides}, {dtype})",
        ],
        step,
        [f"{walk.top.name} = {pair}({walk.top.name}, {top})"],
        [f"{walk.total.name} += {where}({total} == 0.0, 0.0, {whole})"],
    )


def _met(kernel: KernelText, walk: RowWalk) -> tuple[str, str, str]:
    """The shape of what lanes meet in, how it spreads over them, and what is taken off, unspread.

    Raises DoesNotApply where the totals do not meet alike, or the text does not tell how.
    """
    told = [_axis(total) for total in (walk.top, walk.total)]
    if walk.mask or told[0] is None or told[0] != told[1]:
        raise DoesNotApply("the two loops' lanes do not meet alike in every step")
    axis, kept = told[0]
    spread, base = "", walk.term.base
    if kept:
        met = tuple("1" if axis in (None, n) else one for n, one in enumerate(walk.extents))
    else:
        met = () if axis is None else walk.extents[:axis] + walk.extents[axis + 1 :]
    if len(met) == 1 and not kept:
        spread = "[None, :]" if axis == 0 else "[:, None]"
    elif met and not kept:
        raise DoesNotApply("the values have more than two axes")
    if not base.endswith(spread):
        raise DoesNotApply("what is taken off is not spread over the lanes")
    base = base.removesuffix(spread)
    if BlockExtents(kernel, walk.total.statement).of(parsed(base)) not in ((), met):
        raise DoesNotApply("what is taken off has other axes than the lanes meet in")
    return _sides(met), spread, base


def _axis(total: RowTotal) -> tuple[int | None, bool] | None:
    """Along which axis each step reduces, and whether it keeps it; None where it does not."""
    if total.reduction is None:
        return None
    named: dict[str | None, ast.expr] = {k.arg: k.value for k in total.reduction.keywords}
    axis = next(iter(total.reduction.args[1:]), named.get("axis", ast.Constant(None)))
    kept = named.get("keep_dims", ast.Constant(False))
    if not isinstance(axis, ast.Constant) or not isinstance(kept, ast.Constant):
        return None
    return axis.value if type(axis.value) is int else None, bool(kept.value)


def _sides(extents: Sequence[str]) -> str:
    return f"({', '.join(extents)}{',' if len(extents) == 1 else ''})"
