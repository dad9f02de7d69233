"""online: what it writes, what it refuses, and that maxima stay and sums are no less exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.passes import online
from warpwright.proposers.rewrites.registry import BRANCHES, chains, found, refinements, replay
from warpwright.types.candidate import Claim, Move

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
"""
SOFTMAX = """\
def rows(x_ptr, y_ptr, N, B: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, B)
    top = -float("inf")
    for start in range(0, N, B):
        at = start + lane
        x = tl.load(x_ptr + row * N + at, mask=at < N, other=-float("inf"))
        highest = tl.max(x, axis=0)
        top = tl.maximum(top, highest)  # of the row
    total = 0.0
    for k in range(0, N, B):
        inside = lane + k < N
        again = tl.load(x_ptr + row * N + k + lane, mask=inside, other=float("-inf"))
        total += tl.sum(tl.exp(again - top), axis=0)
    for k in range(0, N, B):
        inside = k + lane < N
        z = tl.load(x_ptr + row * N + k + lane, mask=inside, other=0.0)
        tl.store(y_ptr + row * (N + 2) + k + lane, tl.exp(z - top) / total, mask=inside)
    tl.store(y_ptr + row * (N + 2) + N, top)
    tl.store(y_ptr + row * (N + 2) + N + 1, total)
"""
GOLDEN = """\
    # One walk through the row: each lane keeps its greatest value so far, and the sum of its
    # exponentials beside that.
    top_lanes = tl.full((B,), float("-inf"), dtype=tl.float32)
    total_lanes = tl.zeros((B,), dtype=tl.float32)
    for start in range(0, N, B):
        at = start + lane
        x = tl.load(x_ptr + row * N + at, mask=at < N, other=-float("inf"))
        top_gap = tl.where(x == top_lanes, 0.0, tl.abs(x - top_lanes))
        total_fade = tl.exp(-top_gap)
        total_lanes = tl.where(
            x > top_lanes,
            total_lanes * total_fade + 1.0,
            total_lanes + total_fade,
        )
        top_lanes = tl.maximum(top_lanes, x)  # of the row
    top = tl.maximum(top, tl.max(top_lanes, axis=0))
    total = 0.0
    total_lanes = tl.where(total_lanes == 0.0, 0.0, total_lanes * tl.exp(top_lanes - top))
    total += tl.sum(total_lanes, axis=0)
"""
GOLDEN_STEPS = """\
    # One walk through the row: its greatest value so far, and the sum of exponentials.
    top_so_far = tl.full((), float("-inf"), dtype=tl.float32)
    total_so_far = tl.zeros((), dtype=tl.float32)
    for start in range(0, N, B):
        at = start + lane
        x = tl.load(x_ptr + row * N + at, mask=at < N, other=-float("inf"))
        top_new = tl.maximum(top_so_far, tl.max(x, axis=0))
        top_base = tl.where(top_new == float("-inf"), 0.0, top_new)
        total_so_far = (
            total_so_far * tl.exp(top_so_far - top_base)
            + tl.sum(tl.exp(x - top_base), axis=0)
        )
        total_so_far += tl.where(top_new == float("-inf"), 1.0, 0.0)
        top_so_far = top_new  # of the row
    top = tl.maximum(top, top_so_far)
    total = 0.0
    total += tl.where(total_so_far == 0.0, 0.0, total_so_far * tl.exp(top_so_far - top))
"""
HOST = """

class ModelNew(nn.Module):
    def forward(self, x):
        M, N = x.shape
        y = torch.zeros((M, N + 2), device=x.device)
        rows[(M,)](x, y, N, B=16)
        return y
"""
KERNEL = HEAD + SOFTMAX + HOST
LAST = "    for k in range(0, N, B):\n        inside = k + lane"
LOOPS = SOFTMAX[SOFTMAX.index("    for start") : SOFTMAX.index(LAST)]
SIZES = "        M, N = x.shape\n"
MOVE = Move(online.NAME, "rows", (("pair", 0),), Claim.OTHER_ARITHMETIC)

LAUNCH = "rows[(M,)](x, y, N, B=16)"
STEPS = Move(online.STEPS, "rows", (("pair", 0),), Claim.OTHER_ARITHMETIC)
EXP = "        total += tl.sum(tl.exp(again - top), axis=0)\n"
TOTALS = """\
    tl.store(y_ptr + row * (N + 2) + N, top)
    tl.store(y_ptr + row * (N + 2) + N + 1, total)
"""
LANES = """\
def rows(x_ptr, y_ptr, N, B: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * N
    lane = tl.arange(0, B)
    most = tl.full((B,), float("-inf"), dtype=tl.float32)
    for k in range(0, N, B):
        most = tl.maximum(most, tl.load(x_ptr + k + lane, lane + k < N, float("-inf")))
    top = tl.max(most, axis=0)
    guard = tl.where(top == float("-inf"), 0.0, top)
    sums = tl.zeros((B,), dtype=tl.float32)
    for k in range(0, N, B):
        x = tl.load(x_ptr + k + lane, mask=lane + k < N, other=float("-inf"))
        sums += tl.exp2((x - guard) * LOG2E)
    total = tl.sum(sums, axis=0)
"""
MASKED = """\
def rows(x_ptr, y_ptr, N, B: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, B)
    top = float("-inf")
    for k in range(0, N, B):
        ok = (k + lane < N) & (row >= 0)
        x = tl.load(x_ptr + row * N + k + lane, mask=ok, other=0.0)
        top = tl.maximum(top, tl.max(tl.where(ok, x, float("-inf")), axis=0))
    scaled = top * LOG2E
    total = 0.0
    for k in range(0, N, B):
        ok = (row >= 0) & (k + lane < N)
        x = tl.load(x_ptr + row * N + k + lane, mask=ok, other=0.0)
        total += tl.sum(tl.where(ok, tl.exp2(x * LOG2E - scaled), 0.0), axis=0)
"""
NESTED = """\
def rows(x_ptr, y_ptr, N, B: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, B)[None, :]
    half = tl.cdiv(N, 2)
    top = tl.full((1, 1), float("-inf"), dtype=tl.float32)
    total = tl.zeros((1, 1), dtype=tl.float32)
    for part in range(2):
        first = part * half
        for k in range(0, half, B):
            ok = (k + lane < half) & (first + k + lane < N)
            x = 0.5 * tl.load(x_ptr + row * N + first + k + lane, mask=ok, other=float("-inf"))
            top = tl.maximum(top, tl.max(x, axis=1, keep_dims=True))
    for p in range(0, 2):
        begin = p * half
        for k in tl.range(0, half, B, num_stages=2):
            ok = (k + lane < half) & (begin + k + lane < N)
            x = 0.5 * tl.load(x_ptr + row * N + begin + k + lane, mask=ok, other=float("-inf"))
            total += tl.sum(tl.exp(x - top), axis=1, keep_dims=True)
    top = tl.sum(tl.sum(top, axis=1), axis=0)
    total = tl.sum(tl.sum(total, axis=1), axis=0)
"""
SPELLINGS = {
    "scalars": KERNEL,
    **{
        name: HEAD + text + TOTALS + HOST
        for name, text in {"lanes": LANES, "masked": MASKED, "nested": NESTED}.items()
    },
}
TILES = """\
def rows(x_ptr, y_ptr, N, B: tl.constexpr):
    row = tl.program_id(0) + tl.arange(0, 1)
    lane = tl.arange(0, B)
    top = tl.full((1,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((1,), dtype=tl.float32)
    for k in range(0, N, B):
        at = row[:, None] * N + (k + lane)[None, :]
        x = tl.load(x_ptr + at, mask=(k + lane < N)[None, :], other=float("-inf"))
        top = tl.maximum(top, tl.max(x, axis=1))
    for k in range(0, N, B):
        at = row[:, None] * N + (k + lane)[None, :]
        x = tl.load(x_ptr + at, mask=(k + lane < N)[None, :], other=float("-inf"))
        total += tl.sum(tl.exp2((x - top[:, None]) * LOG2E), axis=1)
    top = tl.sum(top, axis=0)
    total = tl.sum(total, axis=0)
"""
SPELLINGS["tiles"] = HEAD + TILES + TOTALS + HOST
WAYS = [(name, MOVE) for name in SPELLINGS]
WAYS += [(name, STEPS) for name in ("scalars", "nested", "tiles")]
ODD_ROWS = """\
        x = x.clone()
        x[1] = float("-inf")
        x[2, :16] = float("-inf")
        x[3, 7] = float("nan")
        x[4, 20] = float("inf")
        x[5, 3], x[5, 19], x[5, 35] = -3e38, 3e38, 1.0
        x[6] *= 1e4
        x[7, 16:] = float("-inf")
        x[8] = float("nan")
        x[9, 2::16] = float("-inf")
        x[10, 2], x[10, 5] = float("inf"), float("-inf")
        x[11] = torch.arange(N) * 2.0
"""


def test_one_walk_keeps_the_maximum_and_the_sum_beside_it() -> None:
    assert online.apply(KERNEL, MOVE) == KERNEL.replace(LOOPS, GOLDEN)


def test_lanes_that_met_in_every_step_may_go_on_meeting() -> None:
    moved = online.apply(KERNEL, STEPS)
    assert moved == KERNEL.replace(LOOPS, GOLDEN_STEPS)
    tiles = online.apply(SPELLINGS["tiles"], STEPS)
    assert "tl.sum(tl.exp2((x - top_base[:, None]) * LOG2E), axis=1)" in tiles
    assert "total_so_far * tl.exp2((top_so_far - top) * LOG2E)" in tiles


@pytest.mark.parametrize("spelling", ["lanes", "masked"])
def test_lanes_that_did_not_meet_are_not_made_to(spelling: str) -> None:
    with pytest.raises(DoesNotApply, match="do not meet alike"):
        online.apply(SPELLINGS[spelling], STEPS)


def test_what_is_taken_off_must_have_the_axes_of_what_lanes_meet_in() -> None:
    spread = "tl.exp(again[None, :] - tl.full((2, 1), 0.0, tl.float32))"
    text = KERNEL.replace("tl.exp(again - top), axis=0", f"{spread}")
    with pytest.raises(DoesNotApply):
        online.apply(text, STEPS)
    text = KERNEL.replace("again - top", "again - (top + 0.0 * lane)")
    with pytest.raises(DoesNotApply, match="has other axes"):
        online.apply(text, STEPS)
    online.apply(text, MOVE)


def test_nothing_is_left_to_do() -> None:
    with pytest.raises(DoesNotApply, match="0 such pairs"):
        online.apply(online.apply(KERNEL, MOVE), MOVE)


def test_lanes_stay_lanes_and_a_guard_between_the_loops_stays_a_guard() -> None:
    moved = online.apply(SPELLINGS["lanes"], MOVE)
    assert "most = tl.maximum(most, most_lanes)\n    top = tl.max(most, axis=0)\n" in moved
    assert "sums_lanes * tl.exp2((most_lanes - guard) * LOG2E)" in moved
    assert "    sums += sums_lanes\n    total = tl.sum(sums, axis=0)\n" in moved


def test_lanes_that_the_second_loop_masks_count_for_nothing() -> None:
    moved = online.apply(SPELLINGS["masked"], MOVE)
    assert "            total_lanes + tl.where(ok, total_fade, 0.0),\n" in moved
    assert "tl.exp2(top_lanes * LOG2E - scaled)" in moved


def test_a_mask_that_the_first_loop_does_not_name_is_written_out() -> None:
    text = SPELLINGS["masked"].replace("        ok = (k + lane < N) & (row >= 0)\n", "", 1)
    text = text.replace("mask=ok", "mask=k + lane < N", 1).replace(
        "tl.where(ok, x, ", "tl.where(k + lane < N, x, "
    )
    text = text.replace("        ok = (row >= 0) & (k + lane < N)\n", "        ok = k + lane < N\n")
    moved = online.apply(text, MOVE)
    assert "total_lanes + tl.where(lane + k < N, total_fade, 0.0)" in moved


def test_a_sum_that_starts_between_the_loops_starts_there() -> None:
    moved = online.apply(KERNEL, MOVE)
    assert moved.index("total = 0.0") < moved.index("total += tl.sum(total_lanes")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (EXP, EXP.replace("exp(", "log("), "no exponentials"),
        (EXP, EXP.replace("again - top", "again"), "nothing is taken off"),
        (EXP, EXP.replace("again - top", "top - again"), "changes from step to step"),
        (EXP, EXP.replace("again - top", "again - k"), "changes from step to step"),
        (EXP, EXP.replace("again - top", "(again - top) * N"), "nothing is taken off"),
        (EXP, EXP.replace("again - top", "(again - top) * -1.0"), "nothing is taken off"),
        (EXP, EXP.replace("again - top", "again * 2.0 - top"), ""),
        (EXP, EXP.replace("again - top", "again * -2.0 - top"), "other values"),
        (EXP, EXP + "        tl.store(y_ptr + k, total)\n", "more than compute"),
        (EXP, EXP + "        tl.atomic_add(y_ptr, 1.0)\n", "more than compute"),
        (EXP, EXP + "        total = helper(total)\n", "more than compute"),
        (EXP, EXP + "        top = tl.maximum(top, 1.0)\n", "changes from step|left by another"),
        (EXP, EXP + "        lane += 0\n", "before one for one sum"),
        (EXP, EXP + "        other = total\n", "elsewhere too"),
        (EXP, EXP + "        if k > 0:\n            total += 1.0\n", "more than compute one"),
        (EXP, EXP + EXP, "no loop for a maximum before one for one sum"),
        (EXP, EXP.replace("tl.exp(again - top)", "tl.where(inside, tl.exp(again - top), 1.0)"),
         "more than zero"),
        ("k + lane, mask=inside, other=float", "k + lane + 1, mask=inside, other=float",
         "other values"),
        ("+ N, top)", "+ N, top + again)", "again is read behind"),
        ("+ N, top)", "+ N, top + highest)", "highest is read again"),
        ("    total = 0.0\n", "    total = 0.0\n    tl.store(y_ptr, total)\n", "more than compute"),
        ("    total = 0.0\n", "    total = 0.0\n    x_ptr += 4\n", "several assignments"),
        ("0, N, B):\n        inside = lane", "B, N, B):\n        inside = lane", "same steps"),
        ("lane + k < N\n", "lane + k < N - 1\n", "other values"),
        ("        at = start + lane\n", "        at = start + lane\n        tl.store(x_ptr, 1.0)\n",
         "more than compute"),
        ("    lane = tl.arange(0, B)\n", "    lane = tl.arange(1, B + 1)\n", "does not tell"),
        ("        highest = tl.max(x, axis=0)\n", "        highest = tl.max(x, axis=0); y = x\n",
         "share a line"),
        ("other=-float(\"inf\"))\n", "other=-float(\"inf\")).to(tl.float64)\n", "other values"),
        ("    top = -float(\"inf\")\n", "    top = tl.full((), 0.0, tl.float64)\n", "no float32"),
    ],
)  # fmt: skip
def test_what_is_no_such_pair_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) == 1
    if not why:
        assert "tl.exp(top_lanes * 2.0 - top)" in online.apply(KERNEL.replace(old, new), MOVE)
        return
    with pytest.raises(DoesNotApply, match=why):
        online.apply(KERNEL.replace(old, new), MOVE)


def test_masked_lanes_that_may_be_the_maximum_are_refused() -> None:
    text = SPELLINGS["masked"].replace('float("-inf")), axis=0', "-1e30), axis=0")
    with pytest.raises(DoesNotApply, match="a part in the maximum"):
        online.apply(text, MOVE)


def test_it_is_found_where_the_loops_take_more_than_one_step() -> None:
    calls = rewriting.traced(KERNEL, rewriting.problem([(3, 40)]))[1]
    assert found(online.NAME, KERNEL, calls) == (MOVE,)
    calls = rewriting.traced(KERNEL, rewriting.problem([(3, 16)]))[1]
    assert found(online.NAME, KERNEL, calls) == ()


def test_what_fills_the_registers_is_not_proposed() -> None:
    wide = KERNEL.replace("B=16", "B=8192")
    calls = rewriting.traced(wide, rewriting.problem([(3, 20000)]))[1]
    assert found(online.NAME, wide, calls) == ()
    assert found(online.STEPS, wide, calls) == (STEPS,)
    assert found(online.NAME, *_traced(wide.replace("B=8192", "B=4096"), (3, 20000))) == (MOVE,)


def test_it_follows_moves_that_put_rows_side_by_side() -> None:
    """The softmax of pixels over their channels: neighbours, side by side, keep tiles of lanes."""
    text = KERNEL.replace("row * N + at", "row + at * 4096")
    text = text.replace("row * N + k + lane, mask", "row + (k + lane) * 4096, mask")
    text = text.replace("row * (N + 2) + k + lane", "row * (N + 2) + (k + lane)")
    text = text.replace("M, N = x.shape", "N, M = x.shape")
    view, calls = rewriting.traced(text, rewriting.problem([(100, 4096)]))
    wide = [replay(text, moves) for moves in chains(view, calls) if moves[-1].name == "widen"]
    assert [found(online.NAME, one, calls) for one in wide] == [(MOVE,)]
    assert "top_lanes = tl.full((B, ROWS), " in online.apply(wide[0], MOVE)


def test_rows_of_another_type_are_left() -> None:
    half = KERNEL.replace("rows[(M,)](x, y", "rows[(M,)](x.half(), y")
    assert found(online.NAME, *_traced(half, (3, 40))) == ()


def test_whole_numbers_beside_the_row_are_no_matter() -> None:
    labels = KERNEL.replace("def rows(x_ptr, y_ptr, N", "def rows(x_ptr, y_ptr, l_ptr, N")
    labels = labels.replace("(x, y, N", "(x, y, torch.zeros(M, dtype=torch.int64), N")
    assert found(online.NAME, *_traced(labels, (3, 40))) == (MOVE,)


def test_it_is_a_way_of_its_own_and_a_refinement() -> None:
    assert (online.NAME, "partials") in BRANCHES
    view, calls = rewriting.traced(KERNEL, rewriting.problem([(3, 40)]))
    assert any(moves[-1].name == online.NAME for moves in chains(view, calls))
    assert MOVE in refinements(view, calls)


def _traced(text: str, shape: tuple[int, int]) -> tuple[str, Any]:
    return text, rewriting.traced(text, rewriting.problem([shape]))[1]


def _both(
    text: str, shape: tuple[int, int], distribution: str = "normal", move: Move = MOVE
) -> list[Any]:
    problem = rewriting.problem([shape])
    return [
        rewriting.outputs(one, problem, distribution=distribution)[0]
        for one in (text, online.apply(text, move))
    ]


@pytest.mark.triton
@pytest.mark.parametrize(("spelling", "move"), WAYS)
@pytest.mark.parametrize("distribution", slow_but(["wide"], ["normal", "wide", "nonfinite"]))
@pytest.mark.parametrize("width", slow_but([40], [5, 16, 40, 64, 600]))
def test_maxima_stay_and_sums_too(spelling: str, move: Move, distribution: str, width: int) -> None:
    before, after = _both(SPELLINGS[spelling], (3, width), distribution, move)
    np.testing.assert_array_equal(before[:, width], after[:, width])
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    np.testing.assert_allclose(before, after, rtol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize(("spelling", "move"), WAYS)
def test_what_is_no_number_comes_out_as_before(spelling: str, move: Move) -> None:
    text = SPELLINGS[spelling].replace(SIZES, SIZES + ODD_ROWS)
    with np.errstate(all="ignore"):
        before, after = _both(text, (12, 40), move=move)
    np.testing.assert_array_equal(before[:, 40], after[:, 40])
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    np.testing.assert_allclose(before, after, rtol=1e-5)
    sums = after[:, 41]
    guarded = spelling == "lanes"  # minus infinity alone is no NaN there
    far = spelling == "masked"  # 3e38 times LOG2E is infinite
    assert np.isnan(sums).tolist() == [False, not guarded, False, True, True, far, False, False,
                                       True, False, True, False]  # fmt: skip


@pytest.mark.triton
@pytest.mark.parametrize(("spelling", "move"), WAYS)
def test_a_row_of_no_elements_has_no_sum(spelling: str, move: Move) -> None:
    text = SPELLINGS[spelling].replace(LAUNCH, "rows[(M,)](x, y, N - N, B=16)")
    before, after = _both(text, (1, 4), move=move)
    np.testing.assert_array_equal(before, after)


@pytest.mark.triton
@pytest.mark.parametrize("move", [MOVE, STEPS])
@pytest.mark.parametrize("kind", ["normal", "rising", "slowly rising", "falling", "far apart"])
def test_the_sum_is_no_less_exact_than_in_two_walks(kind: str, move: Move) -> None:
    """Beside float64: within 1e-6, or no further off than the parent."""
    made = {
        "normal": "x",
        "rising": "torch.arange(N, dtype=torch.float32).repeat(M, 1) * 1e-3 + 0.1 * x",
        "slowly rising": "torch.arange(N, dtype=torch.float32).repeat(M, 1) * 1e-5",
        "falling": "-torch.arange(N, dtype=torch.float32).repeat(M, 1) * 1e-3 + 0.1 * x",
        "far apart": "x * 30.0",
    }[kind]
    width = 3000
    text = KERNEL.replace(SIZES, f"{SIZES}        x = {made}\n")
    shown = text.replace("        rows[", "        y[:, :N] = x\n        return y\n        rows[")
    problem = rewriting.problem([(2, width)])
    data = rewriting.outputs(shown, problem)[0][:, :width].astype(np.float64)
    exact = np.exp(data - data.max(axis=1, keepdims=True)).sum(axis=1)
    before, after = (
        np.abs(y[:, width + 1] / exact - 1.0).max() for y in _both(text, (2, width), move=move)
    )
    assert after <= max(1e-6, before)


@pytest.mark.triton
@pytest.mark.parametrize(("spelling", "move"), WAYS)
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(spelling: str, move: Move, capability: tuple[int, int]) -> None:
    moved = online.apply(SPELLINGS[spelling], move)
    assert rewriting.compile_faults(moved, rewriting.problem([(3, 40)]), capability) == []
