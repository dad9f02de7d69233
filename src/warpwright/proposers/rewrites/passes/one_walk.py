"""The text of one walk through a row that was two."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.proposers.rewrites.common.kernel_text import KernelText
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


def walk_splices(kernel: KernelText, walk: RowWalk) -> list[Splice]:
    """The changes of the text that make one walk of the two."""
    top, source = walk.top, kernel.source
    taken = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    names = {
        "top": free_name(f"{top.name}_lanes", taken),
        "sum": free_name(f"{walk.total.name}_lanes", taken),
        "gap": free_name(f"{top.name}_gap", taken),
        "fade": free_name(f"{walk.total.name}_fade", taken),
    }
    lines = []
    x = ast.get_source_segment(source, top.value) or ""
    if not isinstance(top.value, ast.Name):
        name = free_name(f"{top.name}_step", taken)
        lines.append(f"{name} = {x}")
        x = name
    lines += _step(kernel, walk, names, x)
    step = _laid_out(lines, margin_of(source, top.statement)).strip()
    splices = [replaced(top.statement, step)]
    if top.between is not None:
        splices.append(whole_lines(top.between, top.between, ""))
    margin = margin_of(source, walk.first)
    start, behind = walk.first.lineno, (walk.first.end_lineno or 0) + 1
    starts = _laid_out(_starts(kernel, walk, names), margin)
    ends = _laid_out([_top(kernel, top, names["top"])], margin)
    return [
        *splices,
        Splice((start, 0), (start, 0), starts),
        Splice((behind, 0), (behind, 0), ends),
        whole_lines(walk.second, walk.second, _laid_out(_sum(kernel, walk, names), margin)),
    ]


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
    sides = f"({', '.join(walk.extents)}{',' if len(walk.extents) == 1 else ''})"
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
