"""interior: what it writes, when it refuses, that no bit changes, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.interior import interior_rewrite
from warpwright.proposers.rewrites.registry import chains, found, replay
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def smooth(x_ptr, w_ptr, y_ptr, L, M, K: tl.constexpr, S: tl.constexpr, P: tl.constexpr,
           BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offs = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = offs < M
    start = offs * S - P
    sum = tl.zeros((BLOCK,), dtype=tl.float32)
    for k in range(K):
        at = start + k
        ok = (at >= 0) & (at < L)
        ok &= inside
        x = tl.load(x_ptr + row * L + at, mask=ok, other=0.0)  # a tap
        sum += x * tl.load(w_ptr + k)
    tl.store(y_ptr + row * M + offs, sum, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, taps, stride, padding):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(taps))
        self.stride, self.padding = stride, padding

    def forward(self, x):
        N, L = x.shape
        K = self.weight.shape[0]
        M = (L + 2 * self.padding - K) // self.stride + 1
        y = torch.empty((N, M), device=x.device)
        grid = (N, triton.cdiv(M, 16))
        smooth[grid](x, self.weight, y, L, M, K=K, S=self.stride, P=self.padding, BLOCK=16)
        return y
"""
BODY = KERNEL[KERNEL.index("    for k in range(K):") : KERNEL.index("\n\nclass")]
INDENTED = "".join(f"    {line}" for line in BODY.splitlines(keepends=True))
GOLDEN = """\
    # A block that touches no border needs no masks.
    block_inside = tl.program_id(1) * BLOCK * S - P >= 0
    block_inside = block_inside & ((tl.program_id(1) * BLOCK + (BLOCK - 1)) * S - P >= 0)
    block_inside = block_inside & (tl.program_id(1) * BLOCK * S - P + (K - 1) < L)
    block_inside = block_inside & ((tl.program_id(1) * BLOCK + (BLOCK - 1)) * S - P + (K - 1) < L)
    block_inside = block_inside & (tl.program_id(1) * BLOCK + (BLOCK - 1) < M)
    if block_inside:
        for k in range(K):
            at = start + k
            ok = (at >= 0) & (at < L)
            ok &= inside
            x = tl.load(x_ptr + row * L + at)  # a tap
            sum += x * tl.load(w_ptr + k)
        tl.store(y_ptr + row * M + offs, sum)
    else:
"""
MOVE = Move(interior_rewrite.NAME, "smooth", (), Claim.BIT_EQUAL)


def applied(old: str = "", new: str = "") -> str:
    assert not old or KERNEL.count(old) == 1
    return interior_rewrite.apply(KERNEL.replace(old, new) if old else KERNEL, MOVE)


def asked(text: str) -> str:
    """What a block asks, in one line."""
    lines = [line for line in text.splitlines() if "block_inside" in line]
    return " ".join(line.split(" = ")[-1] for line in lines).replace("block_inside & ", "")


def test_a_block_inside_has_no_masks() -> None:
    assert applied() == KERNEL.replace(BODY, GOLDEN + INDENTED)


def test_vectors_of_any_other_kind_are_asked_for_their_ends() -> None:
    text = applied("    start = offs * S - P\n", "    start = (offs * S - P) % 1000\n")
    assert "tl.min(start, 0) >= 0" in text
    assert "tl.max(start, 0) + (K - 1) < L" in text
    taken_apart = "    start = offs\n    start = start // 3\n    start = start % 7\n"
    assert "tl.min(start, 0) >= 0" in applied("    start = offs * S - P\n", taken_apart)


def test_a_factor_of_known_sign_asks_for_one_end() -> None:
    text = asked(applied("offs * S - P", "offs * 2 - P"))
    assert "(BLOCK - 1)) * 2 - P >= 0" not in text
    assert "(tl.program_id(1) * BLOCK + (BLOCK - 1)) * 2 - P + (K - 1) < L" in text


def test_a_loop_with_steps_ends_at_its_last_one() -> None:
    text = applied("for k in range(K):", "for k in range(1, K, 2):")
    assert "- P + (1 + (K - 1 - 1) // 2 * 2) < L" in text
    assert "- P + 1 >= 0" in text


@pytest.mark.parametrize("step", ["-1", "R"])
def test_a_loop_that_may_count_down_asks_for_both_of_its_ends(step: str) -> None:
    loop = KERNEL.replace("range(K)", f"range(K - 1, -1, {step})")
    text = interior_rewrite.apply(loop.replace("L, M,", "L, M, R,", 1), MOVE)
    last = f"(K - 1 + (-1 - (K - 1) - 1) // {step} * {step})"
    assert f"- P + {last} >= 0" in asked(text)
    assert "- P + (K - 1) < L" in asked(text)


def test_a_mask_of_more_lanes_than_its_pointer_stays() -> None:
    spread = "x_ptr + at[:, None], mask=ok[:, None] & (lane < L)[None, :],"
    text = KERNEL.replace("x_ptr + row * L + at, mask=ok,", spread)
    text = text.replace("sum += x *", "sum += tl.sum(x, 1) *")
    text = text.replace("    row = ", "    lane = tl.arange(0, 4)\n    row = ")
    with pytest.raises(DoesNotApply):
        interior_rewrite.apply(text, MOVE)


def test_a_bound_that_is_rounded_is_not_compared_as_it_was() -> None:
    text = KERNEL.replace("(at < L)", "(at < top.to(tl.int32))").replace(
        "    row = ", "    top = tl.load(w_ptr)\n    row = "
    )
    with pytest.raises(DoesNotApply, match="too few"):
        interior_rewrite.apply(text, MOVE)


def test_what_cannot_be_made_is_not_proposed() -> None:
    shared = KERNEL.replace("sum, mask=inside)", "sum, mask=inside); pass")
    with pytest.raises(DoesNotApply, match="share a line"):
        interior_rewrite.apply(shared, MOVE)
    _, calls = rewriting.traced(KERNEL, rewriting.problem([(2, 2000)], [5, 1, 2]))
    assert found(interior_rewrite.NAME, KERNEL, calls) == (MOVE,)
    assert found(interior_rewrite.NAME, shared, calls) == ()


def test_a_remainder_is_zero_where_a_stride_is_one() -> None:
    text = applied("ok = (at >= 0)", "ok = (at % S == 0) & (at // S >= 0)")
    assert "block_inside = S == 1" in text
    assert "* S - P) // S >= 0)" in text


def test_parts_of_a_mask_that_cannot_be_told_stay() -> None:
    text = applied("mask=ok,", "mask=ok & (at * at > 3) & (w_ptr != 0),")
    assert "mask=(at * at > 3) & (w_ptr != 0), other=0.0" in text


@pytest.mark.parametrize(
    "start", ["tl.load(x_ptr + offs)", "(offs * 0.5) % 3", "(offs % 9).to(tl.float32) % 4"]
)
def test_numbers_that_may_compare_with_nothing_are_not_asked(start: str) -> None:
    """A lane that is no number is outside of every bound, and least of none."""
    with pytest.raises(DoesNotApply, match="too few"):
        applied("    start = offs * S - P\n", f"    start = {start}\n")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ok = (at >= 0) & (at < L)", "ok = at * at < L", "too few loads"),
        ("        ok &= inside\n", "        inside = ok\n        return\n", "a return"),
        ("        sum += x *", "        sum += tl.dot(x, x) *", "ahead of their use"),
        ("    tl.store(y", "    sum = tl.trans(sum)\n    tl.store(y", "another form"),
        ("    row = tl", "    block_inside = 0\n    row = tl", "a meaning already"),
        ("mask=ok, other=0.0", "", "nothing under a mask"),
        ("        at = start + k\n", "        start += 1\n        at = start + k\n", "too few"),
    ],
)
def test_what_cannot_be_told_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(DoesNotApply, match=why):
        applied(old, new)


def test_it_is_made_once() -> None:
    with pytest.raises(DoesNotApply, match="already"):
        interior_rewrite.apply(applied(), MOVE)


@pytest.mark.parametrize(
    ("length", "taps", "stride", "padding", "proposed"),
    [(300, 4, 1, 2, True), (20, 4, 1, 2, False), (300, 4, 2, 1, True)],
)
def test_it_is_proposed_where_many_blocks_touch_no_border(
    length: int, taps: int, stride: int, padding: int, proposed: bool
) -> None:
    problem = rewriting.problem([(2, length)], [taps, stride, padding])
    view, calls = rewriting.traced(KERNEL, problem)
    assert found(interior_rewrite.NAME, KERNEL, calls) == ((MOVE,) if proposed else ())
    if proposed:
        names = [[move.name for move in way] for way in chains(view, calls)]
        assert any(interior_rewrite.NAME in way for way in names)


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["normal", "nonfinite"])
@pytest.mark.parametrize("sizes", [(100, 5, 1, 2), (70, 3, 2, 1), (10, 3, 1, 1), (64, 1, 1, 0)])
def test_no_bit_changes(sizes: tuple[int, int, int, int], distribution: str) -> None:
    length, taps, stride, padding = sizes
    problem = rewriting.problem([(2, length)], [taps, stride, padding])
    texts = (
        KERNEL,
        KERNEL.replace("offs * S - P", "(offs * S - P) % 1000"),
        KERNEL.replace("range(K)", "range(K - 1, -1, -1)"),
    )
    for text in texts:
        before, after = (
            rewriting.outputs(one, problem, distribution=distribution)
            for one in (text, replay(text, [MOVE]))
        )
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(2, 100)], [3, 1, 1])
    texts = (
        KERNEL,
        KERNEL.replace("offs * S - P", "(offs * S - P) % 1000"),
        KERNEL.replace("range(K)", "range(K - 1, -1, -1)"),
    )
    for text in texts:
        assert rewriting.compile_faults(replay(text, [MOVE]), problem, capability) == []
