"""scalarise: what it writes, when it refuses, that no bit changes, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import chains, found, replay
from warpwright.proposers.rewrites.scalarise import scalarise_rewrite
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def blur(x_ptr, s_ptr, y_ptr, total, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
         R: tl.constexpr, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offs < total
    sum = tl.zeros((BLOCK,), dtype=tl.float32)
    w = offs % W
    t = offs // W
    h = t % H
    t = t // H
    c = t % C
    for r in range(R):
        row = h + r - 1
        ok = inside & (row >= 0) & (row < H)
        x = tl.load(x_ptr + ((t * H) + row) * W + w, mask=ok, other=0.0)
        scale = tl.load(s_ptr + c * R + r, mask=inside, other=0.0)
        sum += x * scale  # a row of its channel
    tl.store(y_ptr + offs, sum, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, channels, rows):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(channels, rows))

    def forward(self, x):
        N, C, H, W = x.shape
        y = torch.empty_like(x)
        total = x.numel()
        grid = (triton.cdiv(total, 32),)
        blur[grid](x, self.scale, y, total, C=C, H=H, W=W, R=self.scale.shape[1], BLOCK=32)
        return y
"""
BODY = KERNEL[KERNEL.index("    w = offs % W") : KERNEL.index("    tl.store(")]
INDENTED = "".join(f"    {line}" for line in BODY.splitlines(keepends=True))
DIVIDES = """\
    first_offs = tl.program_id(0) * BLOCK
    # Where a block crosses no multiple of W, its quotients are one number.
    if W % BLOCK == 0:
        w = first_offs % W + tl.arange(0, BLOCK)
        t = first_offs // W
        h = t % H
        t = t // H
        c = t % C
        for r in range(R):
            row = h + r - 1
            ok = inside & (row >= 0) & (row < H)
            x = tl.load(x_ptr + ((t * H) + row) * W + w, mask=ok, other=0.0)
            scale = tl.load(s_ptr + c * R + r, mask=first_offs < total, other=0.0)
            sum += x * scale  # a row of its channel
    else:
"""
WITHIN = """\
    first_offs = tl.program_id(0) * BLOCK
    # Where a block crosses no multiple of W, its quotients are one number.
    if first_offs // W == (first_offs + (BLOCK - 1)) // W:
        w = first_offs % W + tl.arange(0, BLOCK)
        block_t = first_offs // W
        block_h = block_t % H
        block_t = block_t // H
        block_c = block_t % C
        for r in range(R):
            block_row = block_h + r - 1
            ok = inside & (block_row >= 0) & (block_row < H)
            x = tl.load(x_ptr + ((block_t * H) + block_row) * W + w, mask=ok, other=0.0)
            block_scale = tl.load(s_ptr + block_c * R + r, mask=first_offs < total, other=0.0)
            sum += x * block_scale  # a row of its channel
    else:
"""


def move(when: str, size: str = "W", index: str = "offs") -> Move:
    arguments = (("index", index), ("size", size), ("when", when))
    return Move(scalarise_rewrite.NAME, "blur", arguments, Claim.BIT_EQUAL)


def applied(text: str, when: str = "divides", size: str = "W") -> str:
    return scalarise_rewrite.apply(text, move(when, size))


@pytest.mark.parametrize(("when", "new"), [("divides", DIVIDES), ("within", WITHIN)])
def test_what_a_block_has_in_common_becomes_scalar(when: str, new: str) -> None:
    assert applied(KERNEL, when) == KERNEL.replace(BODY, new + INDENTED)


def test_a_coarser_digit_is_taken_of_the_index_itself() -> None:
    text = applied(KERNEL, size="W * H")
    assert "if (H * W) % BLOCK == 0:" in text
    assert "        t = first_offs // (H * W)\n        c = t % C" in text
    assert "w = first_offs % W" not in text
    assert "mask=first_offs < total" in text


def test_a_remainder_by_subtraction_and_changes_in_place() -> None:
    text = KERNEL.replace("    w = offs % W\n    t = offs // W\n",
                          "    t = offs\n    t //= W\n    w = offs - t * W\n")  # fmt: skip
    new = applied(text)
    assert "t = first_offs // W" in new
    assert "w = first_offs % W + tl.arange(0, BLOCK)" in new


def test_lanes_that_others_read_have_what_they_had() -> None:
    text = KERNEL.replace(
        "    tl.store(", "    tl.store(y_ptr + tl.sum(sum, 0), 0.0)\n    tl.store("
    )
    assert (
        "scale = tl.where(inside, tl.load(s_ptr + c * R + r, mask=first_offs < total, "
        "other=0.0), 0.0)" in applied(text)
    )


def test_a_mask_with_other_lanes_leaves_a_load_of_all_lanes() -> None:
    text = KERNEL.replace("mask=inside, other", "mask=inside & (w > 0), other")
    assert "tl.load(tl.broadcast_to(s_ptr + c * R + r, [BLOCK]), mask=inside & (w > 0)" in applied(
        text
    )


def test_new_axes_of_scalars_go() -> None:
    address = "x_ptr + (t[:, None] * H + row[:, None]) * W + w[:, None], mask=ok[:, None]"
    text = KERNEL.replace("x_ptr + ((t * H) + row) * W + w, mask=ok", address)
    text = text.replace(
        "mask=ok[:, None], other=0.0)", "mask=ok[:, None], other=0.0).reshape(BLOCK)"
    )
    assert "x_ptr + (t * H + row) * W + w[:, None], mask=ok[:, None]" in applied(text)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("    h = t % H\n", "    h = tl.cumsum(t, 0)\n", "may need lanes"),
        ("        sum += x * scale", "        c += w\n        sum += x * scale", "every step"),
        ("    c = t % C\n", "    c = t % C\n    if total > 5:\n        c = w\n", "one branch"),
        ("tl.store(y_ptr + offs", "tl.store(y_ptr + h", "one place"),
        ("    w = offs % W\n", "    first_offs = 0\n    w = offs % W\n", "a meaning already"),
        ("tl.program_id(0) * BLOCK +", "tl.program_id(0) * W +", "multiple of BLOCK"),
        ("W: tl.constexpr", "W", "no compile-time constant"),
        ("    offs = tl", "    offs = 0\n    offs = tl", "no flat index"),
        ("    c = t % C\n", "    c, d = t % C, 0\n", "is not known"),
    ],
)
def test_what_needs_lanes_or_may_be_wrong_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        applied(KERNEL.replace(old, new))


INDEX = "    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n    inside = offs < total\n"


@pytest.mark.parametrize("when", ["divides", "within"])
@pytest.mark.parametrize("first", ["R", "base"])
def test_a_start_that_changes_behind_the_index_is_refused(first: str, when: str) -> None:
    lines = (
        f"    base = R * BLOCK\n    offs = {first} + tl.arange(0, BLOCK)\n    {first} += BLOCK\n"
    )
    text = KERNEL.replace(INDEX, f"{lines}    inside = offs < total\n")
    with pytest.raises(DoesNotApply):
        applied(text, when)
    before = "    base = 0\n    base = base + R\n"
    lines = f"{before}    offs = base + tl.program_id(0) + tl.arange(0, BLOCK)\n    base += 1\n"
    with pytest.raises(DoesNotApply, match=r"another value|multiple"):
        applied(KERNEL.replace(INDEX, f"{lines}    inside = offs < total\n"), when)


def test_a_bound_that_changes_is_no_bound_of_the_first_lane() -> None:
    text = KERNEL.replace("    inside = offs < total\n", "").replace("inside", "(offs < total)")
    assert "first_offs < total" in applied(text)
    text = text.replace("    tl.store", "    total = total + 1\n    tl.store")
    assert "first_offs < total" not in applied(text)


def test_a_block_that_may_start_below_zero_is_refused() -> None:
    text = KERNEL.replace("= tl.program_id(0) * BLOCK", "= (tl.program_id(0) - 1) * BLOCK")
    with pytest.raises(DoesNotApply, match="below zero"):
        applied(text)
    assert "first_offs // W" in applied(text, "within")  # both ends have one quotient


def test_it_is_made_once() -> None:
    for when in ("divides", "within"):
        with pytest.raises(DoesNotApply, match="already"):
            applied(applied(KERNEL, when), "within")


def test_no_return_stands_under_a_condition_at_run_time() -> None:
    text = KERNEL.replace(
        "    for r in range(R):", "    if total < 1:\n        return\n    for r in range(R):"
    )
    applied(text)
    with pytest.raises(DoesNotApply, match="a return"):
        applied(text, "within")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3, 4, 64), move("divides")),
        ((2, 3, 4, 100), move("within")),
        ((2, 3, 16, 6), move("divides", "H * W")),
        ((2, 3, 5, 33), move("within", "H * W")),
    ],
)
def test_the_finest_size_that_most_blocks_lie_in_is_proposed(
    shape: tuple[int, ...], expected: Move
) -> None:
    _, calls = rewriting.traced(KERNEL, rewriting.problem([shape], [3, 3]))
    assert found(scalarise_rewrite.NAME, KERNEL, calls) == (expected,)


def test_small_rows_are_left_alone_and_chains_hold_it_once() -> None:
    view, calls = rewriting.traced(KERNEL, rewriting.problem([(2, 3, 5, 7)], [3, 3]))
    assert found(scalarise_rewrite.NAME, KERNEL, calls) == ()
    view, calls = rewriting.traced(KERNEL, rewriting.problem([(2, 3, 5, 64)], [3, 3]))
    names = [tuple(m.name for m in way) for way in chains(view, calls)]
    assert (scalarise_rewrite.NAME,) in names
    assert (scalarise_rewrite.NAME, "interior") in names


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["normal", "nonfinite"])
@pytest.mark.parametrize(
    ("shape", "changed"),
    [
        ((2, 3, 4, 64), move("divides")),
        ((2, 3, 4, 50), move("divides")),  # the other branch
        ((3, 2, 3, 50), move("within")),
        ((1, 3, 16, 6), move("divides", "H * W")),
        ((3, 2, 5, 33), move("within", "H * W")),
    ],
)
def test_no_bit_changes(shape: tuple[int, ...], changed: Move, distribution: str) -> None:
    problem = rewriting.problem([shape], [shape[1], 3])
    before, after = (
        rewriting.outputs(text, problem, distribution=distribution)
        for text in (KERNEL, replay(KERNEL, [changed]))
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("changed", [move("divides"), move("within"), move("divides", "H * W")])
def test_the_text_compiles(changed: Move, capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(2, 3, 16, 128)], [3, 3])
    moved = replay(KERNEL, [changed])
    assert rewriting.compile_faults(moved, problem, capability) == []


@pytest.mark.triton
@pytest.mark.parametrize("when", ["divides", "within"])
def test_blocks_inside_need_no_masks_behind_it(when: str) -> None:
    moves = [move(when), Move("interior", "blur")]
    moved = replay(KERNEL, moves)
    assert "first_offs // W % H + (R - 1) - 1 < H" in moved
    for shape in [(2, 3, 6, 64), (2, 3, 7, 100), (1, 1, 1, 7)]:
        problem = rewriting.problem([shape], [shape[1], 3])
        before, after = (rewriting.outputs(text, problem) for text in (KERNEL, moved))
        np.testing.assert_array_equal(before[0], after[0])
    assert rewriting.compile_faults(moved, rewriting.problem([(2, 3, 6, 64)], [3, 3]), (9, 0)) == []
