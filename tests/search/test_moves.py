"""Moves beside each other on one candidate."""

from __future__ import annotations

from warpwright.proposers.rewrites.registry import apply_move
from warpwright.search.moves import with_those_that_go_together
from warpwright.types.candidate import Candidate, Claim, Move

KERNEL = """\
import triton
import triton.language as tl


@triton.jit
def rows(x_ptr, y_ptr, N: tl.constexpr, B: tl.constexpr):
    lane = tl.arange(0, B)
    top = -float("inf")
    total = 0.0
    for k in range(0, N, B):
        x = tl.load(x_ptr + k + lane, mask=k + lane < N, other=-float("inf"))
        top = tl.maximum(top, tl.max(x, axis=0))
    for k in range(0, N, B):
        x = tl.load(x_ptr + k + lane, mask=k + lane < N, other=-float("inf"))
        total += tl.sum(tl.exp(x - top), axis=0)
    for r in range(2):
        tl.store(y_ptr + r, total)
"""
ONLINE = Move("online", "rows", (("pair", 0),), Claim.OTHER_ARITHMETIC)
PARTIALS = Move("partials", "rows", (("totals", (0,)),), Claim.SAME_SUM)
UNROLL = Move("unroll", "rows", (("loops", (2,)),))


def test_a_move_in_the_way_of_another_is_left_out() -> None:
    made = with_those_that_go_together(Candidate(KERNEL, KERNEL), [ONLINE, ONLINE, PARTIALS])
    assert made.moves == (ONLINE,)
    assert made.program == apply_move(KERNEL, ONLINE)


def test_moves_that_go_together_are_all_made() -> None:
    made = with_those_that_go_together(Candidate(KERNEL, KERNEL), [UNROLL, PARTIALS])
    assert made.moves == (UNROLL, PARTIALS)
    assert made.program == apply_move(apply_move(KERNEL, UNROLL), PARTIALS)
