"""Two loops over a row, one for its maximum and one for a sum of its exponentials."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.block_extents import (
    BlockExtents,
    Extents,
    constant_extents,
    joined,
)
from warpwright.proposers.rewrites.common.float32_names import Float32Names
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.reaching import Reaching
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.passes.exponentials import Exponential, TermReader
from warpwright.proposers.rewrites.passes.resolved import COUNTER, Resolver, same
from warpwright.proposers.rewrites.passes.row_loops import (
    RowTotal,
    check_alike,
    check_computes_one,
    check_lines,
    check_reads_only,
    row_totals,
)


@dataclass(frozen=True, slots=True)
class RowWalk:
    """A loop for a row's maximum and a later one of its block for a sum of its exponentials."""

    first: ast.For
    second: ast.For
    top: RowTotal
    row: ast.expr
    total: RowTotal
    term: Exponential
    mask: str
    extents: Extents


def row_walks(kernel: KernelText, refusals: list[DoesNotApply] | None = None) -> Iterator[RowWalk]:
    """All pairs in source order; why others are none goes to `refusals`."""
    reaching = Reaching(kernel)
    types = Float32Names(kernel)
    for block in _blocks(kernel.node.body):
        loops = [node for node in block if isinstance(node, ast.For)]
        for place, second in enumerate(loops):
            for first in reversed(loops[:place]):
                region = block[block.index(first) : block.index(second) + 1]
                try:
                    yield _walk(kernel, reaching, types, region)
                    break
                except DoesNotApply as refusal:
                    if refusals is not None:
                        refusals.append(refusal)


def _blocks(body: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    yield body
    for node in body:
        for inner in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(inner, list) and inner:
                yield from _blocks(inner)


def _walk(
    kernel: KernelText, reaching: Reaching, types: Float32Names, region: Sequence[ast.stmt]
) -> RowWalk:
    """The pair of the region's first and last statement. Raises DoesNotApply."""
    first, second = region[0], region[-1]
    assert isinstance(first, ast.For)
    assert isinstance(second, ast.For)
    check_reads_only(kernel, region)
    inside = Resolver(kernel, reaching, [second], ())
    sums = list(row_totals(kernel, inside, second, "sum"))
    tops = list(row_totals(kernel, Resolver(kernel, reaching, [first], ()), first, "max"))
    if len(sums) != 1 or not tops:
        raise DoesNotApply("there is no loop for a maximum before one for one sum")
    total = sums[0]
    whole = Resolver(kernel, reaching, region, total.levels)
    own = Resolver(kernel, reaching, [second], total.levels)
    why = DoesNotApply("")
    for top in tops:
        try:
            fore = Resolver(kernel, reaching, region, top.levels)
            row = fore.of(top.value, top.between or top.statement)
            reader = TermReader(kernel, whole, own)
            term = reader.read(total.value, total.between or total.statement, row)
            check_alike(kernel, (top.levels, fore), (total.levels, whole))
            _check(kernel, top, total, types)
            mask = _mask(fore, top, term)
            extents = _extents(kernel, top, mask)
            return RowWalk(first, second, top, row, total, term, mask, extents)
        except DoesNotApply as refusal:
            why = refusal
    raise why


def _check(kernel: KernelText, top: RowTotal, total: RowTotal, types: Float32Names) -> None:
    """Raises DoesNotApply where more depends on the loops than the two totals."""
    first, second = top.levels[0], total.levels[0]
    check_computes_one(total.levels, total)
    if read := live_after(kernel.node, second) & set(stored_names([second])) - {total.name}:
        raise DoesNotApply(f"{', '.join(sorted(read))} is read behind the second loop")
    for one, loop in ((top, first), (total, second)):
        if _mentions(one.name, loop) != _mentions(one.name, one.statement):
            raise DoesNotApply(f"the loop names {one.name} elsewhere too")
    if top.between is not None:
        name = stored_names([top.between])[0]
        if loaded_names([first]).count(name) != 1 or name in live_after(kernel.node, first):
            raise DoesNotApply(f"{name} is read again")
    if not types.has(top.value):
        raise DoesNotApply(f"{ast.unparse(top.value)} may be no float32")
    own = [top.between] if top.between is not None else []
    check_lines(kernel, [first, second, top.statement, *own])


def _mentions(name: str, node: ast.AST) -> int:
    return sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _mask(fore: Resolver, top: RowTotal, term: Exponential) -> str:
    """The second loop's mask as the first one's text has it; empty where there is none."""
    if term.mask is None:
        return ""
    for node in top.levels[-1].body:
        if node is (top.between or top.statement):
            break
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(DoesNotApply):
                if same(fore.of(node.targets[0], top.statement), term.mask):
                    return node.targets[0].id
    counters = {f"{COUNTER}{depth}": loop.target for depth, loop in enumerate(top.levels)}

    class Counted(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return counters.get(node.id, node)

    text: str = ast.unparse(Counted().visit(clone(term.mask)))
    if set(loaded_names([term.mask])) & set(stored_names([top.levels[0]])):
        raise DoesNotApply("the first loop has no such mask")
    return text


def _extents(kernel: KernelText, top: RowTotal, mask: str) -> Extents:
    """The shape of a step's values; of its mask it must be too."""
    at = top.between or top.statement
    found = constant_extents(kernel, top.value, at)
    if mask and joined([found, BlockExtents(kernel, at).of(parsed(mask))]) != found:
        raise DoesNotApply("the mask has other axes than the values")
    return found
