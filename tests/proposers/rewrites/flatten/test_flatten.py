"""flatten: what it writes, when it refuses, and that the results stay."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.flatten import flatten_rewrite as flatten
from warpwright.proposers.rewrites.registry import chains, found
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def center(x_ptr, y_ptr, G: tl.constexpr, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
           sc: tl.constexpr, sh: tl.constexpr, sw: tl.constexpr, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    first = pid * C
    total = 0.0
    for i in range(0, C):
        c = first + i
        for h in range(H):
            for w in range(0, W, BLOCK):
                lane = w + tl.arange(0, BLOCK)
                ok = lane < W
                x = tl.load(x_ptr + c * sc + h * sh + lane * sw, mask=ok & (pid < G), other=0.0)
                total += tl.sum(x * x, axis=0)
    mean = total / (C * H * W)
    for i in range(0, C):
        scale = tl.load(y_ptr) * 0.0 + i
        for h in range(H):
            for w in range(0, W, BLOCK):
                lane = w + tl.arange(0, BLOCK)
                at = (first + i) * sc + h * sh + lane * sw
                x = tl.load(x_ptr + at, mask=lane < W)
                y = tl.maximum(x - mean, 0.0) + scale  # of one row
                tl.store(y_ptr + at, y, mask=lane < W)


class ModelNew(nn.Module):
    def forward(self, x):
        N, C, H, W = x.shape
        y = torch.zeros_like(x)
        _, sc, sh, sw = x.stride()
        center[(N,)](x, y, N, C, H, W, sc, sh, sw, BLOCK=8)
        return y
"""
FIRST = KERNEL[KERNEL.index("    for i in range(0, C):") : KERNEL.index("    mean =")]
GOLDEN = """\
    # Row follows row in memory: one loop takes what the loops of the nest took.
    if sh == W * sw and sc == H * sh:
        i = 0
        c = first + i
        h = 0
        for w in range(0, C * H * W, 64):
            lane = w + tl.arange(0, 64)
            ok = lane < C * H * W
            x = tl.load(x_ptr + c * sc + h * sh + lane * sw, mask=ok & (pid < G), other=0.0)
            total += tl.sum(x * x, axis=0)
    else:
        for i in range(0, C):
            c = first + i
            for h in range(H):
                for w in range(0, W, BLOCK):
                    lane = w + tl.arange(0, BLOCK)
                    ok = lane < W
                    x = tl.load(x_ptr + c * sc + h * sh + lane * sw, mask=ok & (pid < G), other=0.0)
                    total += tl.sum(x * x, axis=0)
"""
SECOND = """\
        # Row follows row in memory: one loop takes what the loops of the nest took.
        if sh == W * sw:
            h = 0
            for w in range(0, H * W, 64):
                lane = w + tl.arange(0, 64)
                at = (first + i) * sc + h * sh + lane * sw
                x = tl.load(x_ptr + at, mask=lane < H * W)
                y = tl.maximum(x - mean, 0.0) + scale  # of one row
                tl.store(y_ptr + at, y, mask=lane < H * W)
"""


def move(nest: int = 1, width: int = 64) -> Move:
    arguments = (("nest", nest), ("width", width))
    return Move(flatten.NAME, "center", arguments, Claim.SAME_SUM)


def test_one_loop_takes_what_the_nest_took() -> None:
    assert flatten.apply(KERNEL, move()) == KERNEL.replace(FIRST, GOLDEN)


def test_inner_loops_alone_where_the_outer_one_holds_more() -> None:
    moved = flatten.apply(KERNEL, move(2))
    assert SECOND in moved
    assert (
        moved[: moved.index("        # Row follows")] == KERNEL[: KERNEL.rindex("        for h in")]
    )


TAKEN = "                total += tl.sum(x * x, axis=0)\n"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (TAKEN, "                total += tl.sum(x - 1.0, axis=0)\n", "may count"),
        (TAKEN, "                total += 1.0\n", "more than a sum"),
        (TAKEN, "                total = tl.maximum(total, tl.max(x, axis=0))\n", "changes what"),
        (TAKEN, f"{TAKEN}                x = x * total\n", "is read in the nest"),
        (TAKEN, f"                x = x - tl.sum(x)\n{TAKEN}", "all its"),
        (TAKEN, f"                x = tl.cumsum(x, 0)\n{TAKEN}", "apart"),
        (TAKEN, "                total += tl.sum(x * lane, axis=0)\n", "used but as"),
        (TAKEN, "                total += tl.sum(x * h, axis=0)\n", "used but as"),
        (TAKEN, f"                if pid > 0:\n    {TAKEN}", "more than assignments"),
        ("other=0.0", "other=1.0", "may count"),
        ("mask=ok & (pid < G)", "mask=(lane < H) & (pid < G)", "used but as"),
        ("mask=ok & (pid < G)", "mask=pid < G", "not masked"),
        ("h * sh + lane * sw, mask=ok", "h * h * sh + lane * sw, mask=ok", "grow"),
        ("c * sc + h * sh + lane", "c * sc + lane", "does not grow with h"),
        ("    mean =", "    last = x\n    mean =", "read behind"),
        ("    first = pid * C\n", "    first = pid * C + tl.arange(0, BLOCK)\n", "from outside"),
        ("lane = w + tl.arange(0, BLOCK)\n                ok", "lane = w + tl.arange(0, 16)\n"
         "                ok", "used but as"),
    ],
)  # fmt: skip
def test_what_may_tell_rows_apart_is_refused(old: str, new: str, why: str) -> None:
    assert old in KERNEL
    with pytest.raises(DoesNotApply, match=why):
        flatten.apply(KERNEL.replace(old, new, 1), move())


def test_sizes_that_are_no_constants_are_refused() -> None:
    with pytest.raises(DoesNotApply, match="2 nests"):
        flatten.apply(KERNEL.replace("C: tl.constexpr", "C"), move(2))


def test_it_is_found_once_with_the_strides_of_the_launch_and_partial_sums_follow() -> None:
    view, calls = rewriting.traced(KERNEL, rewriting.problem([(5, 3, 4, 7)]))
    assert found(flatten.NAME, KERNEL, calls) == (move(2, 32), move(1, 128))
    (way,) = (way for way in chains(view, calls) if way[-1].name == "partials")
    assert [one.name for one in way].count(flatten.NAME) == 2
    turned = KERNEL.replace("y = torch", "x = x.transpose(2, 3)\n        y = torch")
    calls = rewriting.traced(turned, rewriting.problem([(5, 3, 4, 7)]))[1]
    assert found(flatten.NAME, turned, calls) == ()


@pytest.mark.triton
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", slow_but([(2, 3, 4, 7)], [(2, 3, 4, 7), (1, 1, 8, 8)]))
def test_the_results_stay(shape: tuple[int, ...], turned: bool) -> None:
    """Also where the strides are others: the condition is in the code."""
    text = KERNEL
    if turned:
        turn = "x = x.transpose(2, 3).contiguous().transpose(2, 3)"
        text = KERNEL.replace("y = torch", f"{turn}\n        y = torch")
    moved = flatten.apply(flatten.apply(text, move(2)), move(1))
    problem = rewriting.problem([shape])
    before, after = (rewriting.outputs(one, problem)[0] for one in (text, moved))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    moved = flatten.apply(flatten.apply(KERNEL, move(2)), move(1))
    assert rewriting.compile_faults(moved, rewriting.problem([(2, 3, 4, 7)]), capability) == []


@pytest.mark.parametrize(
    "at", ["i * sc + (h + 1) * sh + lane * sw", "sh + i * sc + h * sh + lane * sw"]
)
def test_what_one_row_writes_for_the_next_to_read_is_refused(at: str) -> None:
    chain = f"""\
    for i in range(0, C):
        for h in range(H):
            for w in range(0, W, BLOCK):
                lane = w + tl.arange(0, BLOCK)
                x = tl.load(y_ptr + i * sc + h * sh + lane * sw, mask=lane < W)
                tl.store(y_ptr + {at}, x + 1.0, mask=lane < W)
"""
    with pytest.raises(DoesNotApply, match="used at another address"):
        flatten.apply(KERNEL.replace(FIRST, chain), move())
    same = chain.replace(f"y_ptr + {at}", "y_ptr + i * sc + h * sh + lane * sw")
    assert "range(0, C * H * W, 64)" in flatten.apply(KERNEL.replace(FIRST, same), move())


def test_memory_under_two_names_is_not_flattened() -> None:
    of = rewriting.problem([(2, 3, 4, 5)])
    calls = rewriting.traced(KERNEL, of)[1]
    assert any(one.argument("nest") == 2 for one in found(flatten.NAME, KERNEL, calls))
    shifted = KERNEL.replace("torch.zeros_like(x)", "x")
    calls = rewriting.traced(shifted, of)[1]
    assert not any(one.argument("nest") == 2 for one in found(flatten.NAME, shifted, calls))


@pytest.mark.parametrize(
    ("old", "new"), [("= w + tl", "= w + 1 + tl"), ("ok = lane < W", "ok = lane - 2 < W")]
)
def test_what_every_row_leaves_out_is_refused(old: str, new: str) -> None:
    with pytest.raises(DoesNotApply, match=r"not masked by the end|used but as an index"):
        flatten.apply(KERNEL.replace(FIRST, FIRST.replace(old, new)), move())
