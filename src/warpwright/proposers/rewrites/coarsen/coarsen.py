"""The *coarsen* move: neighbouring programs of a launch become the lanes of one.

Before, a program has one output, and its lanes lie along an outer axis, `N` elements apart:

    pid = tl.program_id(0)
    b = pid // N
    n = pid % N
    m = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + b * M * N + m * N + n, mask=m < M, other=0.0)
    tl.store(o_ptr + pid, tl.sum(x, axis=0))

    k[(B * N,)](x, o, M, N, BLOCK=512)

After, it has 16 outputs, which lie together in memory as what they are made from does:

    pid = tl.program_id(0) * 16 + tl.arange(0, 16)
    live = pid < programs
    b = pid // N
    n = pid % N
    m = tl.arange(0, BLOCK)
    x = tl.load(
        x_ptr + (b * M * N)[None, :] + (m * N)[:, None] + n[None, :],
        mask=(m < M)[:, None] & live[None, :],
        other=0.0,
    )
    tl.store(o_ptr + pid, tl.sum(x, axis=0), mask=live)

    k[(triton.cdiv(B * N, 16),)](x, o, M, N, BLOCK=512, programs=B * N)

Applies to kernels of numbers and vectors whose `program_id` of the axis is assigned to a name, to
loops and branches that are the same for all programs, and to grids written as tuples that do not
depend on the config. A program that leaves early (`if pid >= n: return`) is a lane that is masked.
Refuses tiles, what is not known to work lane by lane, values that all programs start with alike
but for numbers, one place that all programs write to, and `num_programs`.

Claim: the same sum in another order.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from itertools import islice

from warpwright.proposers.rewrites.coarsen.neighbours import programs_lie_together
from warpwright.proposers.rewrites.coarsen.wide_kernel import WideKernel
from warpwright.proposers.rewrites.common.fewer_programs import launch_splices, parameter_splice
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    kernels_of,
)
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import spliced
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "coarsen"
AXES = (0, 1, 2)
WARP_TILE = 2048
"""Elements of a tile for each warp: with more, its values do not fit into registers."""
MOST_OF_A_VECTOR = 65_536
"""Taken for the lanes of a vector of unknown length."""
LEAST, MOST, MOST_ALONE = 8, 64, 128
"""Programs in one: at least a sector of float32; at most so many beside lanes of their own, and
where they have none."""
LEAST_PROGRAMS = 256
"""That are left, for the multiprocessors to share."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel of which programs read what lies together, and lanes do not."""
    moves: list[Move] = []
    for call, kernel in kernels_of(program.source, calls):
        known = argument_values(call)
        wanted = (
            Move(NAME, call.name, (("axis", axis), ("lanes", lanes)), Claim.SAME_SUM)
            for axis in AXES
            if (lanes := _lanes(kernel, call, known, axis)) is not None
            and programs_lie_together(kernel, known, axis)
        )
        moves += islice(that_apply(program.source, wanted, apply), 1)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with programs of an axis as lanes. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    axis, lanes = int(str(move.argument("axis"))), int(str(move.argument("lanes")))
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    count, live = free_name("programs", taken), free_name("live", taken)
    wide = WideKernel(kernel, axis, lanes, count, live)
    splices = [
        *wide.splices(),
        parameter_splice(kernel, count),
        *launch_splices(kernel, axis, lanes, count),
    ]
    return spliced(source, splices)


def _lanes(
    kernel: KernelText, call: KernelCalls, known: Mapping[str, frozenset[int]], axis: int
) -> int | None:
    """How many programs to put into one; None where there are too few."""
    sizes = [
        size
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Call) and kernel.called(node) == "arange" and len(node.args) == 2
        for size in values(node.args[1], known) or {MOST_OF_A_VECTOR}
    ]
    launched = [traced for launch in call.launches for traced in launch.configs]
    grids = [traced.grid for traced in launched]
    if not grids or any(axis >= len(grid) for grid in grids):
        return None
    lanes = MOST_ALONE
    if sizes:
        tile = WARP_TILE * min(traced.config.num_warps for traced in launched)
        lanes = min(max(tile // max(sizes), LEAST), MOST)
        if lanes * max(sizes) > tile:
            return None
    while lanes > LEAST and any(
        _product(grid) // lanes < LEAST_PROGRAMS or lanes >= 2 * grid[axis] for grid in grids
    ):
        lanes //= 2
    enough = all(grid[axis] >= lanes for grid in grids)
    return lanes if enough else None


def _product(grid: Sequence[int]) -> int:
    total = 1
    for extent in grid:
        total *= extent
    return total


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "{lanes} neighbouring programs became the lanes of one, because what they read lies "
        "together in memory",
        place=26,
        worth=4.0,
    ),
)
