"""The *widen* move: a program that makes one small result makes several neighbours at once.

Before, one program for each short row (or for each pixel, with its channels far apart in memory):

    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + lane, mask=lane < N, other=0.0)
    tl.store(y_ptr + row, tl.sum(x, axis=0))

    grid = (rows,)

After, with numbers of a program as [ROWS, 1] and vectors as [1, BLOCK]:

    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    lane = tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + row * N + lane, mask=lane < N, other=0.0)
    tl.store(y_ptr + row, tl.sum(x, axis=1, keep_dims=True))

    rows_each = 16 if rows % 16 == 0 else 1
    grid = (rows // rows_each,)

A block of 64 numbers keeps half of its lanes idle, and a lane that reads a number far from its
neighbour's takes a sector of its own. Where the lanes step by more than 1 in memory, the axis of
the neighbours comes last instead, so that the lanes of a warp lie along it.

Applies to kernels of numbers and vectors whose loops do not depend on the program: elementwise
operations, loads, stores, atomics, sums, maxima and minima. A branch at the top that ends programs
without work becomes a mask. Refuses other branches on the program's number, values of two axes,
scans, helpers, block pointers, and a grid that is no tuple or follows from the config on this axis.

Claim: the same sum in another order. A grid that the number does not divide keeps its programs.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress

from warpwright.proposers.rewrites.common.block_extents import BlockExtents
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import spliced
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.widen.widened_grid import parameter, widened_launches
from warpwright.proposers.rewrites.widen.widened_kernel import WidenedKernel, Widening
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "widen"
TILE = 2048
"""Numbers of the widest vector of a program, neighbours and lanes together."""
LONGEST = 256
"""Lanes of a vector that fill a program by themselves."""
MOST, LEAST = 64, 4
"""Neighbours that a program takes."""
PROGRAMS = 512
"""So many programs are left, so that every multiprocessor has some."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel of small programs, along its last axis that allows it."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            lanes = _lanes(kernel, call)
            if lanes is None or lanes > LONGEST:
                continue
            grids = [traced.grid for launch in call.launches for traced in launch.configs]
            for axis in reversed(range(min(map(len, grids), default=0))):
                most = min(MOST, TILE // lanes)
                while most >= LEAST and not all(_allows(grid, axis, most) for grid in grids):
                    most //= 2
                if most < LEAST:
                    continue
                arguments = (("axis", axis), ("rows", most), ("last", _is_strided(kernel, call)))
                move = Move(NAME, call.name, arguments, Claim.SAME_SUM)
                with suppress(DoesNotApply):
                    apply(program.source, move)
                    moves.append(move)
                    break
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with the kernel and its launches widened. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {argument.arg for argument in kernel.parameters}
    axis, most = int(str(move.argument("axis"))), int(str(move.argument("rows")))
    how = Widening(
        axis, free_name("ROWS", taken), free_name("alive", taken), bool(move.argument("last"))
    )
    splices = WidenedKernel(kernel, how).splices()
    splices.append(parameter(kernel, how.rows))
    splices += widened_launches(kernel, axis, how.rows, most)
    return spliced(source, splices)


def _allows(grid: Sequence[int], axis: int, most: int) -> bool:
    programs = 1
    for side in grid:
        programs *= side
    return grid[axis] % most == 0 and programs // most >= PROGRAMS


def _lanes(kernel: KernelText, call: KernelCalls) -> int | None:
    """The length of the longest vector; None where a launch does not tell it."""
    known = argument_values(call)
    longest = 1
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Call) and kernel.called(node) == "arange" and len(node.args) == 2:
            sizes = values(node.args[1], known)
            if not sizes:
                return None
            longest = max(longest, *sizes)
    return longest


def _is_strided(kernel: KernelText, call: KernelCalls) -> bool:
    """Whether a vector is multiplied by more than 1 in all launches: its lanes lie apart."""
    known = argument_values(call)
    for statement in ast.walk(kernel.node):
        if not isinstance(statement, ast.Assign | ast.Expr):
            continue
        extents = BlockExtents(kernel, statement)
        for node in ast.walk(statement):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                for vector, number in ((node.left, node.right), (node.right, node.left)):
                    sizes = values(number, known)
                    if extents.of(vector) and sizes and min(sizes) > 1:
                        return True
    return False


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a program makes {rows} neighbouring results at once, as rows of a tile",
        place=106,
        worth=4.0,
    ),
)
