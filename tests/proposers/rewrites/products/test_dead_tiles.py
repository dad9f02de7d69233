"""triangle: which blocks end at once, what is refused, that no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.products import dead_tiles
from warpwright.proposers.rewrites.registry import chains
from warpwright.types.candidate import Claim, Move

HEADER = "    for start in range(0, size, DEPTH):\n"
KEPT = "    total = tl.where(row[:, None] >= column[None, :], total, 0.0)\n"
PROGRAM = (
    """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def lower_kernel(
    x_ptr, y_ptr, z_ptr, size,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):
    first_row = tl.program_id(0) * ROWS
    first_column = tl.program_id(1) * COLUMNS
    row = first_row + tl.arange(0, ROWS)
    column = first_column + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
"""
    + HEADER
    + """\
        step = start + tl.arange(0, DEPTH)
        x = tl.load(
            x_ptr + row[:, None] * size + step[None, :],
            mask=(row < size)[:, None] & (step[None, :] <= row[:, None]),
            other=0.0,
        )
        y = tl.load(
            y_ptr + step[:, None] * size + column[None, :],
            mask=(step < size)[:, None] & (column < size)[None, :],
            other=0.0,
        )
        total += tl.dot(x, y)
"""
    + KEPT
    + """\
    inside = (row < size)[:, None] & (column < size)[None, :]
    tl.store(z_ptr + row[:, None] * size + column[None, :], total, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x, y):
        z = torch.empty_like(x)
        size = x.shape[0]
        grid = (triton.cdiv(size, 32), triton.cdiv(size, 16))
        lower_kernel[grid](x, y, z, size, ROWS=32, COLUMNS=16, DEPTH=16)
        return z
"""
)
MOVE = Move(dead_tiles.NAME, "lower_kernel", (), Claim.BIT_EQUAL)


def test_the_loop_ends_at_once_where_nothing_is_kept() -> None:
    new = """\
    # A block of which nothing is kept below adds nothing up.
    stop = tl.where(first_column <= ROWS - 1 + first_row, size, 0)
    for start in range(0, stop, DEPTH):
"""
    assert dead_tiles.apply(PROGRAM, MOVE) == PROGRAM.replace(HEADER, new)


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        ("row[:, None] <= column[None, :]", "first_row <= COLUMNS - 1 + first_column"),
        ("row[:, None] < column[None, :]", "first_row < COLUMNS - 1 + first_column"),
        ("(row + 3)[:, None] > 2 * column[None, :]",
         "first_column * 2 < 3 + (ROWS - 1) + first_row"),
        ("column[None, :] - row[:, None] <= size", "first_column <= ROWS - 1 + first_row + size"),
        ("(row[:, None] >= column[None, :]) & (row < size)[:, None]",
         "first_column <= ROWS - 1 + first_row"),
    ],
)  # fmt: skip
def test_the_test_is_of_the_lane_that_is_kept_most_easily(condition: str, test: str) -> None:
    text = PROGRAM.replace("row[:, None] >= column[None, :]", condition)
    assert f"stop = tl.where({test}, size, 0)\n" in dead_tiles.apply(text, MOVE)


def test_the_condition_may_have_a_name_and_stand_before_the_loop() -> None:
    text = PROGRAM.replace("row[:, None] >= column[None, :]", "kept").replace(
        "    total = tl.zeros", "    kept = row[:, None] >= column[None, :]\n    total = tl.zeros"
    )
    assert "stop = tl.where(first_column <= " in dead_tiles.apply(text, MOVE)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (KEPT, "", "as a whole|kept"),
        (KEPT, "    total += 1.0\n" + KEPT, "read behind the loop as a whole"),
        (KEPT, "    other = total\n" + KEPT, "read behind the loop as a whole"),
        (KEPT, "    total = total * 2.0\n", "read behind the loop as a whole"),
        ("total, 0.0)", "total, x)", "more than one name"),
        ("total, 0.0)", "total, total * 0.0)", "read behind the loop as a whole"),
        ("row[:, None] >= column[None, :], t", "row[:, None] == column[None, :], t", "comparison"),
        ("row[:, None] >= column[None, :], t", "row[:, None] >= size, t", "comparison"),
        ("row[:, None] >= column[None, :], t",
         "(row[:, None] >= column[None, :]) | (row[:, None] > 2), t", "comparison"),
        ("row[:, None] >= column[None, :], t", "row[:, None] * size >= column[None, :], t",
         "comparison"),
        ("range(0, size, DEPTH)", "tl.static_range(0, size, DEPTH)", "no plain range"),
        ("        total += tl.dot", "        tl.store(z_ptr, 0.0)\n        total += tl.dot",
         "does more than add up"),
        ("        total += tl.dot(x, y)", "        total += helper(x, y)", "may do more"),
        ("        total += tl.dot(x, y)",
         "        old = tl.atomic_add(z_ptr, 0.0)\n        total += tl.dot(x, y)", "may do more"),
    ],
)  # fmt: skip
def test_other_loops_are_refused(old: str, new: str, why: str) -> None:
    assert PROGRAM.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        dead_tiles.apply(PROGRAM.replace(old, new), MOVE)


def test_it_is_done_once_and_before_other_moves() -> None:
    with pytest.raises(DoesNotApply, match="already"):
        dead_tiles.apply(dead_tiles.apply(PROGRAM, MOVE), MOVE)
    view, calls = rewriting.traced(PROGRAM, rewriting.problem([(100, 100), (100, 100)]))
    ways = [[move.name for move in way] for way in chains(view, calls)]
    assert all(dead_tiles.NAME in names for names in ways if len(names) > 1)


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["normal", "nonfinite"])
@pytest.mark.parametrize("size", slow_but([100], [100, 16]))
def test_no_bit_changes(size: int, distribution: str) -> None:
    problem = rewriting.problem([(size, size), (size, size)])
    before, after = (
        rewriting.outputs(text, problem, distribution=distribution)
        for text in (PROGRAM, dead_tiles.apply(PROGRAM, MOVE))
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(100, 100), (100, 100)])
    assert rewriting.compile_faults(dead_tiles.apply(PROGRAM, MOVE), problem, capability) == []
