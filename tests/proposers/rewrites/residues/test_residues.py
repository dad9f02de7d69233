"""residues: what it writes, when it refuses, that outputs stay, and that taps are left out."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import apply_move, chains, found, replay
from warpwright.proposers.rewrites.residues import residues_rewrite
from warpwright.types.candidate import Claim, Move
from warpwright.types.shapes import Problem

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def spread(x_ptr, w_ptr, y_ptr, C, L, M, K: tl.constexpr, S: tl.constexpr, P: tl.constexpr,
           D: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    pid = tl.program_id(1)
    offs = pid * BLOCK + tl.arange(0, BLOCK)
    inside = offs < M
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for c in range(C):
        for k in range(K):
            t = offs + P - k * D  # where the tap meets the input
            i = t // S
            ok = inside & (t % S == 0) & (i >= 0) & (i < L)
            x = tl.load(x_ptr + (row * C + c) * L + i, mask=ok, other=0.0)
            acc += x * tl.load(w_ptr + c * K + k)
    tl.store(y_ptr + row * M + offs, acc, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, channels, taps, stride, padding, dilation, broken=-1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, taps))
        if broken >= 0:
            with torch.no_grad():
                self.weight[:, broken] = float("inf")
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x):
        N, C, L = x.shape
        K = self.weight.shape[1]
        M = (L - 1) * self.stride - 2 * self.padding + self.dilation * (K - 1) + 1
        y = torch.empty((N, M), device=x.device)
        spread[(N, triton.cdiv(M, 16))](
            x, self.weight, y, C, L, M, K=K, S=self.stride, P=self.padding, D=self.dilation,
            BLOCK=16,
        )
        return y
"""
HEAD = """\
    offs = pid * BLOCK + tl.arange(0, BLOCK)
    # A block computes outputs of one residue class, where there are enough of it.
    offs_block = pid
    offs_class0 = offs_block % S
    offs_mixed = offs_block // S >= tl.num_programs(1) // S
    offs = tl.where(
        offs_mixed,
        offs,
        offs_block // S * S * BLOCK
        + tl.arange(0, BLOCK) * S
        + offs_class0,
    )
"""
LOOP = """\
        for k in range(K):
            t = offs + P - k * D  # where the tap meets the input
            i = t // S
            ok = inside & (t % S == 0) & (i >= 0) & (i < L)
            # Taps of other residue classes add nothing.
            if offs_mixed | ((offs_class0 + P - k * D) % S == 0):
                x = tl.load(x_ptr + (row * C + c) * L + i, mask=ok, other=0.0)
                acc += x * tl.load(w_ptr + c * K + k)
"""
MOVE = Move(residues_rewrite.NAME, "spread", (("sizes", ("S",)),), Claim.SAME_SUM)
TWO = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def upsample(
    x_ptr, w_ptr, y_ptr, N, H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, KH: tl.constexpr,
    KW: tl.constexpr, BLOCK: tl.constexpr,
):
    start = tl.program_id(0) * BLOCK
    flat = start + tl.arange(0, BLOCK)
    inside = flat < N * OH * OW
    q = flat % OW
    rest = flat // OW
    p = rest % OH
    n = rest // OH
    p = tl.where(inside, p, 0)
    left = q + PW
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for kh in tl.static_range(KH):
        h = p + PH - kh
        ok_h = inside & (h >= 0)
        h = tl.where(ok_h, h, 0)
        ok_h = ok_h & (h - h // SH * SH == 0)
        h = tl.where(ok_h, h // SH, 0)
        ok_h = ok_h & (h < H)
        for kw in range(KW):
            w = left - kw
            i = (w.to(tl.float32) * (1.0 / SW)).to(tl.int32)
            ok = ok_h & (w == i * SW)
            ok &= (i >= 0) & (i < W)
            x = tl.load(x_ptr + (n * H + h) * W + i, mask=ok, other=0.0)
            acc += x * tl.load(w_ptr + kh * KW + kw)
    tl.store(y_ptr + flat, acc, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, kernel, stride, padding):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*kernel))
        self.stride, self.padding = stride, padding

    def forward(self, x):
        N, H, W = x.shape
        (KH, KW), (SH, SW), (PH, PW) = self.weight.shape, self.stride, self.padding
        OH = (H - 1) * SH - 2 * PH + KH
        OW = (W - 1) * SW - 2 * PW + KW
        y = torch.empty((N, OH, OW), device=x.device)
        upsample[(triton.cdiv(y.numel(), 8),)](
            x, self.weight, y, N, H=H, W=W, OH=OH, OW=OW, SH=SH, SW=SW, PH=PH, PW=PW, KH=KH,
            KW=KW, BLOCK=8,
        )
        return y
"""
ROWS = TWO.replace("tl.program_id(0) * BLOCK", "tl.program_id(1) * BLOCK")
ROWS = ROWS.replace("flat < N * OH * OW", "flat < OH * OW").replace(
    "y_ptr + flat", "y_ptr + n * OH * OW + flat"
)
ROWS = ROWS.replace(
    "    p = rest % OH\n    n = rest // OH\n", "    p = rest\n    n = tl.program_id(0)\n"
)
ROWS = ROWS.replace("(triton.cdiv(y.numel(), 8),)", "(N, triton.cdiv(OH * OW, 8))")
THREE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def grow(x_ptr, w_ptr, y_ptr, total, E: tl.constexpr, O: tl.constexpr, S: tl.constexpr,
         T: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr):
    offs = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = offs % O
    line = offs // O % O
    depth = offs // (O * O) % O
    batch = offs // (O * O * O)
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for k in range(K * K * K):
        z = depth - k // (K * K)
        y = line - k // K % K
        x = column - k % K
        on = (z % S == 0) & (y % T == 0) & (x % S == 0) & (z >= 0) & (y >= 0) & (x >= 0)
        z //= S
        y //= T
        x //= S
        on &= (z < E) & (y < E) & (x < E) & (offs < total)
        value = tl.load(x_ptr + ((batch * E + z) * E + y) * E + x, mask=on, other=0)
        weight = tl.load(w_ptr + k)
        acc = acc + tl.where(on, value * weight, 0.0)
    tl.store(y_ptr + offs, acc, mask=offs < total)


class ModelNew(nn.Module):
    def __init__(self, taps, stride, middle, edge):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(taps, taps, taps))
        self.stride, self.middle, self.edge = stride, middle, edge

    def forward(self, x):
        N, E, _, _ = x.shape
        O = self.edge
        y = torch.empty((N, O, O, O), device=x.device)
        grow[(triton.cdiv(y.numel(), 8),)](
            x, self.weight, y, y.numel(), E=E, O=O, S=self.stride, T=self.middle,
            K=self.weight.shape[0], BLOCK=8,
        )
        return y
"""


def one(length: int, *init: int, rows: int = 2) -> Problem:
    return rewriting.problem([(rows, init[0], length)], list(init))


def two(height: int, width: int, *init: tuple[int, int]) -> Problem:
    return rewriting.problem([(2, height, width)], list(init))


def moved(source: str, problem: Problem) -> str:
    """The program with all moves of this kind that are proposed, at least one."""
    _, calls = rewriting.traced(source, problem)
    moves = found(residues_rewrite.NAME, source, calls)
    assert moves
    return replay(source, moves)


def applied(old: str = "", new: str = "") -> str:
    assert not old or KERNEL.count(old) == 1, old
    return apply_move(KERNEL.replace(old, new) if old else KERNEL, MOVE)


def test_a_block_skips_the_taps_of_other_classes() -> None:
    old = KERNEL[KERNEL.index("        for k in") : KERNEL.index("    tl.store")]
    start = "    offs = pid * BLOCK + tl.arange(0, BLOCK)\n"
    assert applied() == KERNEL.replace(start, HEAD).replace(old, LOOP)


def test_each_axis_is_asked_at_its_own_loop() -> None:
    text = moved(TWO, two(9, 11, (3, 4), (2, 3), (1, 1)))
    assert "BLOCK)\n    # A block computes" in text
    assert "    flat_unit = start // (OH * OW)\n" in text
    rows = [
        "        ok_h = ok_h & (h < H)",
        "        # Taps of other residue classes add nothing.",
        "        if flat_mixed | ((flat_class1 + PH - kh) % SH == 0):",
        "            for kw in range(KW):",
        "                w = left - kw",
    ]
    columns = [
        "                ok &= (i >= 0) & (i < W)",
        "                if flat_mixed | (SW & SW - 1 != 0) | ((flat_class0 + PW - kw) % SW == 0):",
        "                    x = tl.load(x_ptr + (n * H + h) * W + i, mask=ok, other=0.0)",
    ]
    assert "\n".join(rows) in text
    assert "\n".join(columns) in text


def test_a_size_that_is_one_everywhere_is_not_asked_for() -> None:
    problem = two(9, 40, (3, 4), (1, 2), (1, 1))
    text = moved(TWO, problem)
    assert "kh) % SH == 0)" not in text
    assert "kw) % SW == 0)" in text
    _, calls = rewriting.traced(TWO, two(9, 40, (3, 4), (1, 1), (1, 1)))
    assert found(residues_rewrite.NAME, TWO, calls) == ()


def test_a_rest_of_a_number_of_the_block_needs_no_other_order() -> None:
    source = KERNEL.replace("t = offs + P - k * D", "t = pid + P - k * D")
    text = apply_move(source, MOVE)
    assert "            if (pid + P - k * D) % S == 0:\n" in text
    assert "offs_class0" not in text


@pytest.mark.parametrize(
    ("old", "new", "asked"),
    [
        ("(t % S == 0)", "(0 == t % S)", "offs_class0 + P - k * D"),
        ("(t % S == 0)", "(t == i * S)", "offs_class0 + P - k * D"),
        ("(t % S == 0)", "(S * i == t)", "offs_class0 + P - k * D"),
        ("(t % S == 0)", "(t - i * S == 0)", "offs_class0 + P - k * D"),
        ("t = offs + P - k * D", "t = offs - (k * D - P)", "offs_class0 - (k * D - P)"),
        ("t = offs + P", "t = offs.to(tl.int32) + P", "offs_class0 + P - k * D"),
        ("acc += x * tl", "acc = acc + x.to(tl.float32) * tl", "offs_class0 + P - k * D"),
        ("acc += x * tl", "acc -= x * tl", "offs_class0 + P - k * D"),
    ],
)
def test_other_spellings_are_the_same(old: str, new: str, asked: str) -> None:
    assert f"if offs_mixed | (({asked}) % S == 0):" in applied(old, new)


def test_a_quotient_that_may_be_another_counts_for_powers_of_two() -> None:
    """Where 32 bits do not hold i * S, it may equal t though S does not divide that."""
    text = KERNEL.replace("i = t // S", "i = (t * 0.5).to(tl.int32)")
    text = apply_move(text.replace("t % S == 0", "t == i * S"), MOVE)
    assert "if offs_mixed | (S & S - 1 != 0) | ((offs_class0 + P - k * D) % S == 0):" in text


TERM = "            acc += x"
REFUSED = [
    ("mask=ok, other=0.0", "mask=ok, other=1.0", "no term is zero"),
    ("mask=ok, other=0.0", "mask=ok", "no term is zero"),
    ("inside & (t % S == 0) &", "inside | (t % S == 0) &", "no term is zero"),
    ("(t % S == 0)", "(t % S == 1)", "no term is zero"),
    ("(t % S == 0)", "(t * t // 3 % S == 0)", "no term is zero"),
    ("(t % S == 0)", "(t == (t * 0.5) * S)", "no term is zero"),
    ("acc += x * tl", "acc += 1.0 + x * tl", "no term is zero"),
    ("acc += x * tl", "acc = acc * 0.5 + x * tl", "more than sums"),
    ("acc += x * tl", "acc = tl.maximum(acc, x) * tl", "more than sums"),
    (TERM, f"            tl.store(y_ptr + k, k)\n{TERM}", "store is called"),
    (TERM, f"            n: tl.constexpr = 1\n{TERM}", "more than to take on"),
    (TERM, f"            inside = inside & ok\n{TERM}", "more than sums"),
    ("    row = tl", "    offs_mixed = 0\n    row = tl", "a meaning already"),
    ("row * M + offs, acc", "row * M + pid * 0 + offs, acc", "pid is used but for"),
    ("pid * BLOCK + tl", "pid * 32 + tl", "does not start at"),
    ("tl.program_id(0)", "tl.program_id(1)", "the number of the block is used"),
    ("tl.program_id(1)", "tl.load(w_ptr)", "does not start at"),
    ("S: tl.constexpr", "S", "S is no compile-time constant"),
    ("acc, mask=inside", "acc + tl.sum(acc, 0), mask=inside", "sum may read other lanes"),
    ("(row * C + c)", "tl.multiple_of(row * C + offs, 8)", "multiple_of may read other lanes"),
    ("tl.store(y_ptr + row", "tl.store(x_ptr + row", "both loaded and stored"),
]


@pytest.mark.parametrize(("old", "new", "why"), REFUSED)
def test_what_cannot_be_told_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(DoesNotApply, match=why):
        applied(old, new)


def test_what_is_read_behind_the_loop_is_refused() -> None:
    changed = KERNEL.replace(TERM, f"            last = i\n{TERM}")
    with pytest.raises(DoesNotApply, match="more than sums"):
        apply_move(changed.replace("offs, acc,", "offs, acc + last,"), MOVE)


def test_an_index_that_shares_its_line_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="share a line"):
        applied("    offs = pid", "    row = row + 0; offs = pid")


def test_it_is_made_once() -> None:
    text = applied()
    with pytest.raises(DoesNotApply):
        apply_move(text, MOVE)
    _, calls = rewriting.traced(KERNEL, one(100, 3, 5, 2, 1, 1))
    assert found(residues_rewrite.NAME, text, calls) == ()


@pytest.mark.parametrize(
    ("length", "stride", "proposed"), [(100, 2, True), (100, 1, False), (9, 2, True), (4, 4, False)]
)
def test_it_is_proposed_where_a_class_fills_a_block(
    length: int, stride: int, proposed: bool
) -> None:
    view, calls = rewriting.traced(KERNEL, one(length, 3, 5, stride, 1, 1))
    assert found(residues_rewrite.NAME, KERNEL, calls) == ((MOVE,) if proposed else ())
    names = [[move.name for move in way] for way in chains(view, calls)]
    assert any(residues_rewrite.NAME in way for way in names) == proposed


ONE_AXIS = [
    one(50, 3, 3, 2, 1, 2), one(33, 2, 5, 3, 2, 1), one(40, 2, 7, 4, 0, 3), one(16, 1, 2, 2, 0, 1),
]  # fmt: skip
TWO_AXES = [
    two(9, 11, (3, 4), (2, 3), (1, 1)), two(8, 8, (4, 4), (2, 2), (1, 1)),
    two(5, 30, (2, 3), (1, 2), (0, 1)), two(14, 6, (3, 1), (3, 1), (2, 0)),
]  # fmt: skip


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["normal", "nonfinite"])
@pytest.mark.parametrize("problem", ONE_AXIS)
def test_one_axis_gives_the_same(problem: Problem, distribution: str) -> None:
    check_same(KERNEL, problem, distribution)


@pytest.mark.triton
def test_its_loops_can_be_unrolled() -> None:
    problem = one(50, 3, 3, 2, 1, 2)
    view, calls = rewriting.traced(KERNEL, problem)
    names = [residues_rewrite.NAME, "unroll"]
    (way,) = [w for w in chains(view, calls) if [m.name for m in w][-2:] == names]
    text = replay(KERNEL, way)
    assert "for k in tl.static_range(K):" in text
    before, after = (rewriting.outputs(t, problem) for t in (KERNEL, text))
    np.testing.assert_array_equal(before[0], after[0])
    assert rewriting.compile_faults(text, problem, (9, 0)) == []


@pytest.mark.triton
@pytest.mark.parametrize("source", [TWO, ROWS], ids=["images", "one image a program"])
@pytest.mark.parametrize("problem", TWO_AXES)
def test_two_axes_give_the_same(source: str, problem: Problem) -> None:
    check_same(source, problem, "normal")


@pytest.mark.triton
@pytest.mark.parametrize(("stride", "middle", "edge"), [(2, 2, 9), (2, 1, 8), (3, 2, 10)])
def test_three_axes_in_one_loop_give_the_same(stride: int, middle: int, edge: int) -> None:
    problem = rewriting.problem([(2, 4, 4, 4)], [3, stride, middle, edge])
    check_same(THREE, problem, "normal")


def check_same(source: str, problem: Problem, distribution: str) -> None:
    texts = (source, moved(source, problem))
    before, after = (rewriting.outputs(t, problem, distribution=distribution) for t in texts)
    np.testing.assert_array_equal(before[0], after[0])


@pytest.mark.triton
@pytest.mark.parametrize(
    "problem", [two(1, 30, (1, 3), (2, 2), (0, 0)), two(3, 3, (1, 1), (2, 2), (0, 0))]
)
def test_sizes_without_enough_outputs_take_the_old_order(problem: Problem) -> None:
    """An image of one row has no second class of rows; one of nine outputs fills few blocks."""
    move = Move(residues_rewrite.NAME, "upsample", (("sizes", ("SH", "SW")),), Claim.SAME_SUM)
    before, after = (rewriting.outputs(t, problem) for t in (TWO, apply_move(TWO, move)))
    np.testing.assert_array_equal(before[0], after[0])


@pytest.mark.triton
def test_a_weight_that_is_not_finite_reaches_the_outputs_of_its_class_alone() -> None:
    """Where a tap is left out nothing is multiplied with it; the last block is mixed."""
    problem = one(50, 1, 4, 2, 0, 1, 1)
    before, after = (rewriting.outputs(t, problem)[0] for t in (KERNEL, applied()))
    whole = before.shape[1] // 32 * 32
    assert np.isnan(before[:, 0:whole:2]).all()
    assert np.isfinite(after[:, 0:whole:2]).all()
    assert not np.isfinite(after[:, 3:whole:2]).any()


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_texts_compile(capability: tuple[int, int]) -> None:
    three = rewriting.problem([(2, 4, 4, 4)], [3, 2, 2, 9])
    for source, problem in (
        (KERNEL, one(50, 3, 3, 2, 1, 2)),
        (TWO, two(9, 11, (3, 4), (2, 3), (1, 1))),
        (ROWS, two(8, 8, (4, 4), (2, 2), (1, 1))),
        (THREE, three),
    ):
        assert rewriting.compile_faults(moved(source, problem), problem, capability) == []
    short = two(1, 30, (1, 3), (2, 2), (0, 0))
    move = Move(residues_rewrite.NAME, "upsample", (("sizes", ("SH", "SW")),), Claim.SAME_SUM)
    assert rewriting.compile_faults(apply_move(TWO, move), short, capability) == []
