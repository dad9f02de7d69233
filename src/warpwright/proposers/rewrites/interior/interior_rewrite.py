"""The *interior* move: a block that touches no border loads without masks.

Before, each load of a window asks whether it lies inside:

    for k in tl.static_range(K):
        i = offs - P + k
        x = tl.load(x_ptr + i, mask=(i >= 0) & (i < L) & (offs < N), other=0.0)
        sum += x

After, a block asks once, for its outermost lanes and steps:

    block_inside = first - P >= 0
    block_inside = block_inside & (first + (BLOCK - 1) - P + (K - 1) < L)
    block_inside = block_inside & (first + (BLOCK - 1) < N)
    if block_inside:
        for k in tl.static_range(K):
            i = offs - P + k
            x = tl.load(x_ptr + i)
            sum += x
    else:
        …

The address of a load without a mask is checked nowhere and may be read several elements at once.

Applies to masks that compare sums of lanes, loop variables and numbers of the block, joined by
`&`; such a sum is least and greatest at the ends of each of them. Vectors that were worked out
before the loads otherwise (`offs % W`) are asked for their least and greatest lane. Parts of a mask
of which that cannot be told stay. A product with a size of unknown sign asks for both ends. Refuses
kernels with `tl.dot`, whose tiles are loaded ahead of their use, and what cannot stand in a branch.

Claim: bit-equal. A mask that is true for all lanes changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.two_branches import (
    in_two_branches,
    may_branch_at_run_time,
)
from warpwright.proposers.rewrites.interior.border_masks import MaskReader
from warpwright.proposers.rewrites.interior.inside_share import share_inside
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "interior"
INSIDE = "block_inside"
LEAST_SHARE = 0.4
"""Of a launch's blocks that must touch no border, under one config at least."""
_MOST_CONDITIONS = 32
_FEWEST_LOADS = 3
"""Loads outside of loops from which on asking once costs less than asking each time."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel with windows over both ends, or with several masks in loops.

    A single mask of the last block costs next to nothing where it was timed.
    """
    moves = []
    for call in calls:
        move = Move(NAME, call.name, (), Claim.BIT_EQUAL)
        with suppress(DoesNotApply):
            kernel, reader = _read(program.source, move)
            windows = any(" >= " in text or " > " in text for text in reader.asked)
            worth = windows or reader.in_loops > 1
            if worth and share_inside(kernel, list(reader.asked), call) >= LEAST_SHARE:
                apply(program.source, move)
                moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with a branch for blocks inside. Raises DoesNotApply."""
    kernel, reader = _read(source, move)
    body = _changed(kernel, reader)
    before = ["# A block that touches no border needs no masks."]
    for number, text in enumerate(reader.asked):
        before.append(f"{INSIDE} = {f'{INSIDE} & ({text})' if number else text}")
    return in_two_branches(source, body, reader.splices, before, INSIDE)


def _read(source: str, move: Move) -> tuple[KernelText, MaskReader]:
    """The kernel with the masks that may go. Raises DoesNotApply where none may."""
    kernel = kernel_text(source, move.kernel)
    names = {*stored_names([kernel.node]), *(p.arg for p in kernel.parameters)}
    if INSIDE in names:
        raise DoesNotApply(f"{INSIDE} has a meaning already")
    if any(kernel.called(node) == "dot" for node in ast.walk(kernel.node)):
        raise DoesNotApply("its tiles are loaded ahead of their use")
    reader = MaskReader(kernel, _start(kernel))
    reader.read()
    if not reader.changed:
        raise DoesNotApply("no mask is known to be true for a block")
    if not reader.in_loops and len(reader.splices) < _FEWEST_LOADS:
        raise DoesNotApply("too few loads are masked")
    if len(reader.asked) > _MOST_CONDITIONS:
        raise DoesNotApply("a block would have to ask too much")
    if not may_branch_at_run_time(_changed(kernel, reader)):
        raise DoesNotApply(
            "a return, a constant or a tile that takes another form cannot stand under a "
            "condition at run time"
        )
    return kernel, reader


def _changed(kernel: KernelText, reader: MaskReader) -> Sequence[ast.stmt]:
    """The statements that must stand in both branches."""
    return kernel.node.body[min(reader.changed) : max(reader.changed) + 1]


def _start(kernel: KernelText) -> int:
    """The place of the first statement that loads under a mask."""
    for place, statement in enumerate(kernel.node.body):
        for node in ast.walk(statement):
            if kernel.called(node) == "load" and isinstance(node, ast.Call):
                masked = len(node.args) > 1 or any(k.arg == "mask" for k in node.keywords)
                if masked:
                    return place
    raise DoesNotApply(f"{kernel.node.name} loads nothing under a mask")


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a block that touches no border loads without masks",
        place=78,
        worth=1.2,
        then=("unroll",),
        refines=True,
    ),
)
