"""The *fewer-atomics* move: a program adds up several blocks and makes one atomic operation.

Before, every block of the input is added to one place in memory:

    pid = tl.program_id(0)
    at = pid * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.atomic_add(sum_ptr, tl.sum(x * x, axis=0))

    k[(triton.cdiv(n, BLOCK),)](x, total, n, BLOCK=1024)

After:

    first_block = tl.program_id(0)
    apart = tl.num_programs(0)
    partial = tl.zeros((BLOCK,), dtype=tl.float32)
    for step in range(0, tl.cdiv(programs - first_block, apart)):
        pid = first_block + step * apart
        at = pid * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n, other=0.0)
        partial += x * x
    tl.atomic_add(sum_ptr, tl.sum(partial, axis=0))

    k[(triton.cdiv(triton.cdiv(n, BLOCK), 16),)](x, total, n, BLOCK=1024,
                                                 programs=triton.cdiv(n, BLOCK))

Atomic operations on one address wait for one another, and the lanes of every block meet through
shared memory for each. Sums, maxima and minima, of numbers or of a vector of addresses, as long as
addresses and masks do not follow from the program's number along one axis of the grid. What they
follow from moves before the loop. The lanes keep results of their own where registers allow.

Refuses atomic operations whose result is read, or that stand in a branch or a loop; programs that
leave early; names that the kernel changes among its parameters; values that may be no float32; and
grids of which the host does not say how many blocks there are (by tiles that a tuner chooses).

Claim: the same sum in another order, which was random before.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

from warpwright.program.syntax import syntax_tree
from warpwright.proposers.rewrites.atomics.block_loop import GroupedBlocks, Grouping
from warpwright.proposers.rewrites.atomics.contributions import contributions
from warpwright.proposers.rewrites.common.block_extents import BlockExtents
from warpwright.proposers.rewrites.common.fewer_programs import launch_splices, parameter_splice
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import spliced
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.outer.float32 import all_float32
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "fewer-atomics"
AXES = (0, 1, 2)
MOST = 16
"""Blocks that a program takes: with more, little is left to gain."""
LEAST_PROGRAMS = 1024
"""That are left, for the multiprocessors to share."""
REGISTERS = 32
"""Most numbers that a thread may hold for the results of its lanes, in its leanest config."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel of many blocks that add to few places."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            if not all_float32(call):
                continue
            lanes = _has_room(kernel, call)
            for axis in AXES:
                blocks = _blocks(call, axis)
                if blocks is None:
                    continue
                arguments = (("axis", axis), ("blocks", blocks), ("lanes", lanes))
                move = Move(NAME, call.name, arguments, Claim.SAME_SUM)
                with suppress(DoesNotApply):
                    apply(program.source, move)
                    moves.append(move)
                    break
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with several blocks a program. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    axis, blocks = int(str(move.argument("axis"))), int(str(move.argument("blocks")))
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    count = free_name("programs", taken)
    outside = [parameter_splice(kernel, count), *launch_splices(kernel, axis, blocks, count)]
    # The body is changed by whole lines, so it comes last.
    how = Grouping(axis, blocks, count, bool(move.argument("lanes")))
    return GroupedBlocks(kernel_text(spliced(source, outside), move.kernel), how).source()


def _blocks(call: KernelCalls, axis: int) -> int | None:
    """How many blocks to give to a program; None where there are too few."""
    grids = [traced.grid for launch in call.launches for traced in launch.configs]
    if not grids or any(axis >= len(grid) for grid in grids):
        return None
    blocks = MOST
    while blocks > 1 and any(
        math.prod(grid) // blocks < LEAST_PROGRAMS or grid[axis] < blocks for grid in grids
    ):
        blocks //= 2
    return blocks if blocks > 1 else None


def _has_room(kernel: KernelText, call: KernelCalls) -> bool:
    """Whether a thread may hold the results of its lanes, beside one block."""
    known: Mapping[str, frozenset[int]] = argument_values(call)
    threads = max((32 * config.num_warps for config in call.configs), default=128)
    held = 0
    for one in contributions(kernel, lanes=True):
        sides = [
            values(syntax_tree(side, "eval").body, known)
            for side in BlockExtents(kernel, one.place).of(one.value) or ()
        ]
        if any(not side for side in sides):
            return False
        held += math.prod(max(side) for side in sides if side)
    return held <= REGISTERS * threads


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a program adds up {blocks} blocks before it adds them to memory by an atomic operation",
        place=107,
        worth=2.0,
    ),
)
