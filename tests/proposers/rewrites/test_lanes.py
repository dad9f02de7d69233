"""lanes: what it writes, when it refuses, that no bit changes, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
import tiled
from amounts import slow_but

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.costmodel.launch_counts import config_counts
from warpwright.proposers.rewrites import lanes
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import refinements, replay
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gather(x_ptr, y_ptr, rows, columns, width, R: tl.constexpr, C: tl.constexpr):
    # Rows lie together in memory, and the tile's last axis is the other one. That the two parts of
    # a row's number add up to it, no compiler sees.
    line = tl.program_id(0) * R + tl.arange(0, R)
    row = (line // width) * width + line % width
    column = tl.program_id(1) * C + tl.arange(0, C)
    inside = row < rows
    x = tl.load(
        x_ptr + row[:, None] + column[None, :] * rows,
        mask=inside[:, None] & (column < columns)[None, :],
        other=0.0,
    ).to(tl.float32)
    tl.store(
        y_ptr + row[:, None] + column[None, :] * rows,
        x * 2.0,
        mask=inside[:, None] & (column < columns)[None, :],
    )


def double(x):
    y = torch.empty_like(x)
    columns, rows = x.shape
    gather[(triton.cdiv(rows, 32), triton.cdiv(columns, 32))](x, y, rows, columns, 7, R=32, C=32)
    return y


class ModelNew(nn.Module):
    def forward(self, x):
        return double(x)
"""
GOLDEN_LOAD = """\
    x = tl.trans(tl.load(
        tl.trans(x_ptr + row[:, None] + column[None, :] * rows),
        mask=tl.trans(inside[:, None] & (column < columns)[None, :]),
        other=0.0,
    )).to(tl.float32)
"""
GOLDEN_STORE = """\
    tl.store(
        tl.trans(y_ptr + row[:, None] + column[None, :] * rows),
        tl.trans(x * 2.0),
        mask=tl.trans(inside[:, None] & (column < columns)[None, :]),
    )
"""


def _move(access: int) -> Move:
    return Move(lanes.NAME, "gather", (("access", access),), Claim.BIT_EQUAL)


def test_a_load_is_transposed_as_a_whole() -> None:
    before = KERNEL[KERNEL.index("    x = tl.load(") : KERNEL.index("    tl.store(")]
    assert lanes.apply(KERNEL, _move(0)) == KERNEL.replace(before, GOLDEN_LOAD)


def test_a_store_is_transposed_with_its_value() -> None:
    before = KERNEL[KERNEL.index("    tl.store(") : KERNEL.index("\n\ndef double")]
    assert lanes.apply(KERNEL, _move(1)) == KERNEL.replace(before, GOLDEN_STORE)


def test_moves_of_several_accesses_replay_in_any_order() -> None:
    both = [replay(KERNEL, [_move(a), _move(b)]) for a, b in ((0, 1), (1, 0))]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("row[:, None] + column[None, :] * rows,", "row,", "no tile"),
        ("mask=inside[:, None] & (column < columns)[None, :]", "mask=helper(row)", "mask"),
        ("        other=0.0,\n", "        boundary_check=(0,),\n", "block pointer"),
        (
            "        mask=inside[:, None] & (column < columns)[None, :],\n",
            "        inside[:, None] & (column < columns)[None, :],\n",
            "by position",
        ),
    ],
)
def test_what_is_no_tile_of_plain_pointers_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) >= 1
    with pytest.raises(DoesNotApply, match=why):
        lanes.apply(KERNEL.replace(old, new, 1), _move(0))


def test_what_is_transposed_already_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="no tile"):
        lanes.apply(lanes.apply(KERNEL, _move(0)), _move(0))


def test_an_access_that_is_not_there_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="number 2"):
        lanes.apply(KERNEL, _move(2))


@pytest.mark.triton
@pytest.mark.parametrize("shape", slow_but([(5, 70)], [(5, 70), (32, 64), (33, 31)]))
def test_no_bit_changes(shape: tuple[int, int]) -> None:
    problem = rewriting.problem([shape])
    moved = replay(KERNEL, [_move(0), _move(1)])
    before, after = (rewriting.outputs(text, problem) for text in (KERNEL, moved))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
def test_lanes_along_memory_touch_a_fraction_of_the_sectors() -> None:
    """The reason for the move, on sizes of which the compiler can prove nothing (rows is odd)."""
    problem = rewriting.problem([(96, 1027)])
    view, calls = rewriting.traced(KERNEL, problem)
    moved = replay(KERNEL, refinements(view, calls))
    counts = []
    for text in (KERNEL, moved):
        (call,) = rewriting.traced(text, problem)[1]
        study = study_kernel(
            call, call.configs, Subject(text), rewriting.sheet(), RunContext(ResultCache())
        )
        counts.append(config_counts(call, study.configs[0]))
    assert counts[0].sectors is not None
    assert counts[1].sectors is not None
    assert counts[1].sectors < counts[0].sectors / 3


@pytest.mark.triton
def test_lanes_that_are_added_up_may_be_in_another_order() -> None:
    """The compiler adds them up as they lie, so where they are moved their sum may have others."""
    shapes = rewriting.problem(tiled.shapes_of(tiled.ROWS))
    view, calls = rewriting.traced(tiled.ROWS, shapes)
    assert {move.claim for move in lanes.find(view, calls)} == {Claim.SAME_SUM}
    largest = tiled.ROWS.replace("total += tl.sum(", "total = tl.maximum(total, tl.max(")
    largest = largest.replace("axis=1)", "axis=1))")
    view, calls = rewriting.traced(largest, shapes)
    assert {move.claim for move in lanes.find(view, calls)} == {Claim.BIT_EQUAL}
