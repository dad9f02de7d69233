"""partials: what it writes, when it refuses, and that the totals keep all but their order."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites import partials
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found, replay
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def describe(x_ptr, y_ptr, w_ptr, P, Q, B: tl.constexpr, R: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, B)
    total = 0.0
    squares = tl.zeros((), dtype=tl.float32)
    top = tl.full((), float("-inf"), dtype=tl.float32)
    for p in range(P):
        for q in range(0, Q, B):
            ok = q + lane < Q
            x = tl.load(x_ptr + (row * P + p) * Q + q + lane, mask=ok, other=0.0)
            total += tl.sum(x)  # all of them
            squares = squares + tl.sum(x * x, axis=0)
        for q in range(0, Q, B):
            ok = q + lane < Q
            x = tl.load(x_ptr + (row * P + p) * Q + q + lane, mask=ok, other=float("-inf"))
            highest = tl.max(x, axis=0)
            top = tl.maximum(top, highest)
    many = tl.arange(0, R)
    weighed = tl.zeros((R,), dtype=tl.float32)
    for q in range(0, Q, B):
        ok = (many < P)[:, None] & (q + lane < Q)[None, :]
        at = (row * P + many[:, None]) * Q + q + lane[None, :]
        w = tl.load(w_ptr + q + lane, mask=q + lane < Q, other=0.0)
        weighed += tl.sum(tl.load(x_ptr + at, mask=ok, other=0.0) * w[None, :], axis=1)
    out = y_ptr + row * (P + 3)
    tl.store(out, total)
    tl.store(out + 1, squares)
    tl.store(out + 2, top)
    tl.store(out + 3 + many, weighed, mask=many < P)


class ModelNew(nn.Module):
    def forward(self, x, w):
        N, P, Q = x.shape
        y = torch.empty((N, P + 3), device=x.device)
        describe[(N,)](x, y, w, P, Q, B=16, R=8)
        return y
"""
GOLDEN = """\
    # Each lane keeps a result of its own in the loop; they meet behind it.
    total_lanes = tl.zeros((B,), dtype=tl.float32)
    squares_lanes = tl.zeros((B,), dtype=tl.float32)
    top_lanes = tl.full((B,), float("-inf"), dtype=tl.float32)
    for p in range(P):
        for q in range(0, Q, B):
            ok = q + lane < Q
            x = tl.load(x_ptr + (row * P + p) * Q + q + lane, mask=ok, other=0.0)
            total_lanes += x  # all of them
            squares_lanes += x * x
        for q in range(0, Q, B):
            ok = q + lane < Q
            x = tl.load(x_ptr + (row * P + p) * Q + q + lane, mask=ok, other=float("-inf"))
            top_lanes = tl.maximum(top_lanes, x)
    total += tl.sum(total_lanes)
    squares += tl.sum(squares_lanes, axis=0)
    top = tl.maximum(top, tl.max(top_lanes, axis=0))
    many = tl.arange(0, R)
    weighed = tl.zeros((R,), dtype=tl.float32)
    # Each lane keeps a result of its own in the loop; they meet behind it.
    weighed_lanes = tl.zeros((R, B), dtype=tl.float32)
    for q in range(0, Q, B):
        ok = (many < P)[:, None] & (q + lane < Q)[None, :]
        at = (row * P + many[:, None]) * Q + q + lane[None, :]
        w = tl.load(w_ptr + q + lane, mask=q + lane < Q, other=0.0)
        weighed_lanes += tl.load(x_ptr + at, mask=ok, other=0.0) * w[None, :]
    weighed += tl.sum(weighed_lanes, axis=1)
"""
LOOPS = KERNEL[KERNEL.index("    for p in range(P):") : KERNEL.index("    out = y_ptr")]


def move(*totals: int) -> Move:
    return Move(partials.NAME, "describe", (("totals", totals),), Claim.SAME_SUM)


ALL = move(0, 1, 2, 3)


def test_lanes_keep_results_of_their_own_and_meet_behind_the_outermost_loop() -> None:
    assert partials.apply(KERNEL, ALL) == KERNEL.replace(LOOPS, GOLDEN)


def test_moves_for_single_totals_give_the_same_lines() -> None:
    one_by_one = replay(KERNEL, [move(3), move(2), move(1), move(0)])
    both = (partials.apply(KERNEL, ALL), one_by_one)
    plain = [sorted(line for line in text.splitlines() if "# Each" not in line) for text in both]
    assert plain[0] == plain[1]


def test_nothing_is_left_to_do() -> None:
    with pytest.raises(DoesNotApply, match="0 such totals"):
        partials.apply(partials.apply(KERNEL, ALL), move(0))


def test_a_total_that_starts_anew_in_an_outer_loop_meets_behind_the_inner_one() -> None:
    text = KERNEL.replace(
        "    for p in range(P):\n", "    for p in range(P):\n        total = 0.0\n"
    )
    moved = partials.apply(text, move(0))
    assert "        total_lanes = tl.zeros((B,), dtype=tl.float32)\n        for q" in moved
    assert "        total += tl.sum(total_lanes)\n        for q" in moved


TAKEN = "            total += tl.sum(x)  # all of them\n"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (TAKEN, "            total += tl.sum(x)\n            tl.store(y_ptr, total)\n", "3 such"),
        (TAKEN, "            total *= tl.sum(x)\n", "3 such"),
        (TAKEN, "            total += tl.sum(helper(x))\n", "3 such"),
        (TAKEN, "            total += tl.sum((x > 0) + lane)\n", "3 such"),
        (TAKEN, "            total += tl.sum(x, axis=0, keep_dims=True)\n", "3 such"),
        (TAKEN, "            total += tl.sum(x, axis=-1)\n", "3 such"),
        (TAKEN, "            total += tl.max(x, axis=0)\n", "3 such"),
        ("    tl.store(out, total)\n", "", "3 such"),
        ("    tl.store(out, total)\n", "    tl.store(out, highest)\n", "2 such"),
        ("            top = tl.maximum(top, highest)\n",
         "            top = tl.maximum(top, highest * highest)\n", "3 such"),
        ("    total = 0.0\n", "    at = x_ptr.to(tl.pointer_type(tl.float16))\n", "another"),
    ],
)  # fmt: skip
def test_what_is_no_total_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        partials.apply(KERNEL.replace(old, new), ALL)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("    lane = tl.arange(0, B)\n", "    lane = tl.arange(1, B + 1)\n", "does not tell"),
        (
            "    lane = tl.arange(0, B)\n",
            "    L = B + 0\n    lane = tl.arange(0, L)\n",
            "no compile-",
        ),
    ],
)
def test_blocks_of_unknown_shape_are_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(DoesNotApply, match=why):
        partials.apply(KERNEL.replace(old, new), ALL)


def test_it_is_found_where_a_loop_takes_more_than_one_step() -> None:
    calls = rewriting.traced(KERNEL, rewriting.problem([(2, 3, 40), (40,)]))[1]
    assert found(partials.NAME, KERNEL, calls) == (ALL,)
    calls = rewriting.traced(KERNEL, rewriting.problem([(2, 1, 16), (16,)]))[1]
    assert found(partials.NAME, KERNEL, calls) == ()


def test_what_fills_the_registers_is_not_proposed() -> None:
    text = KERNEL.replace("R=8", "R=1024")
    calls = rewriting.traced(text, rewriting.problem([(2, 3, 40), (40,)]))[1]
    assert found(partials.NAME, text, calls) == (move(0, 1, 2),)


@pytest.mark.triton
@pytest.mark.parametrize("distribution", slow_but(["normal"], ["normal", "wide", "nonfinite"]))
@pytest.mark.parametrize("shape", slow_but([(2, 3, 40)], [(2, 3, 40), (1, 8, 16), (3, 1, 5)]))
def test_the_totals_are_no_less_exact(shape: tuple[int, int, int], distribution: str) -> None:
    problem = rewriting.problem([shape, (shape[2],)])
    before, after = (
        rewriting.outputs(text, problem, distribution=distribution)[0]
        for text in (KERNEL, partials.apply(KERNEL, ALL))
    )
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    np.testing.assert_array_equal(before[:, 2], after[:, 2])
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(before)))


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(2, 3, 40), (40,)])
    assert rewriting.compile_faults(partials.apply(KERNEL, ALL), problem, capability) == []


def test_a_total_in_float64_keeps_its_type() -> None:
    squares = "    squares = tl.zeros((), dtype=tl.float32)\n"
    text = KERNEL.replace(squares, squares.replace("float32", "float64"))
    with pytest.raises(DoesNotApply, match="float64"):
        partials.apply(text, Move(partials.NAME, "describe", (("totals", (1,)),), Claim.SAME_SUM))
