"""count, roll, unroll and accumulate: what they write, when they refuse, that no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
import reductions
import rewriting

from warpwright.proposers.rewrites import accumulate, loops, registry
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.types.candidate import Move

HEAD = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
COUNTED = (
    HEAD
    + """\
def k(x, n, T: tl.constexpr):
    acc = tl.zeros((T, T), dtype=tl.float32)
    # over all
    at = 0
    while at < n:  # in tiles
        j = 0
        while j < 3:
            acc += tl.load(x + at + j)
            j += 1
        # the next
        at += T  # one tile on
    tl.store(x, acc)
"""
)


def test_a_while_that_counts_becomes_a_for() -> None:
    expected = (
        COUNTED.replace("    at = 0\n    while at < n:", "    for at in range(0, n, T):")
        .replace("        j = 0\n        while j < 3:", "        for j in range(0, 3, 1):")
        .replace("            j += 1\n", "")
        .replace("        at += T  # one tile on\n", "")
    )
    assert loops.apply_count(COUNTED, Move(loops.COUNT, "k")) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("at = 0", "at = n"),
        ("at += T", "at += n"),
        ("    tl.store(x, acc)", "    tl.store(x + at, acc)"),
        ("        # the next", "        if n > 7:\n            at += 1\n        # the next"),
        ("        # the next", "        n = n - 1\n        # the next"),
        ("at < n", "at <= n"),
    ],
)
def test_a_while_that_does_more_than_count_stays(old: str, new: str) -> None:
    assert COUNTED.count(old) == 1
    source = COUNTED.replace(old, new)
    text = loops.apply_count(source, Move(loops.COUNT, "k"))  # the inner one counts
    assert "while at" in text


def test_a_program_without_such_a_loop_is_refused() -> None:
    source = COUNTED.replace("at += T", "at += n").replace("while j < 3", "while j < at")
    with pytest.raises(DoesNotApply, match="only counts"):
        loops.apply_count(source.replace("j = 0", "j = n"), Move(loops.COUNT, "k"))


RANGES = (
    HEAD
    + """\
def k(x, n, R: tl.constexpr, T: tl.constexpr):
    for a in tl.static_range(0, R, T):  # long
        for b in range(3):
            tl.store(x + a * 3 + b, 0.0)
    for c in range(n):
        tl.store(x + c, 1.0)
"""
)


def test_long_loops_are_rolled_and_short_ones_unrolled() -> None:
    rolled = loops.apply_roll(RANGES, Move(loops.ROLL, "k", (("loop", 0),)))
    assert rolled == RANGES.replace("tl.static_range(0, R, T)", "range(0, R, T)")
    unrolled = loops.apply_unroll(RANGES, Move(loops.UNROLL, "k", (("loops", (1,)),)))
    assert unrolled == RANGES.replace("range(3)", "tl.static_range(3)")


@pytest.mark.parametrize(
    ("name", "argument", "old", "new", "reason"),
    [
        ("roll", 1, "", "", "not unrolled"),
        ("roll", 0, "tl.store(x + a * 3", "tl.store(x + tl.arange(0, a)", "constant must stand"),
        (
            "roll",
            0,
            "        for b",
            "        if a == 0:\n            n = 1\n        for b",
            "constant",
        ),
        ("roll", 7, "", "", "no loop 7"),
        ("unroll", (2,), "", "", "specialise first"),
        ("unroll", (0,), "", "", "no plain range"),
        ("unroll", (1,), "            tl", "            break\n            tl", "left early"),
        ("unroll", (1,), "            tl", "            b += 1\n            tl", "assigns its own"),
    ],
)
def test_roll_and_unroll_refuse(
    name: str, argument: int | tuple[int, ...], old: str, new: str, reason: str
) -> None:
    source = RANGES.replace(old, new) if old else RANGES
    assert not old or source != RANGES
    key = "loop" if name == "roll" else "loops"
    with pytest.raises(DoesNotApply, match=reason):
        registry.apply_move(source, Move(name, "k", ((key, argument),)))


DOT = (
    HEAD
    + """\
def k(x, T: tl.constexpr):
    acc = tl.zeros((T, T), dtype=tl.float32)
    a = tl.load(x)
    for i in range(4):
        acc += tl.dot(
            a, a,  # both
            input_precision="ieee",
        )
    tl.store(x, acc)
"""
)


def test_the_sum_moves_into_the_dot() -> None:
    expected = DOT.replace("acc += tl.dot", "acc = tl.dot").replace('"ieee",', '"ieee", acc=acc,')
    assert accumulate.apply(DOT, Move(accumulate.NAME, "k")) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.float32", "tl.float16"),
        ("tl.zeros((T, T), dtype=tl.float32)", "tl.load(x)"),
        ('input_precision="ieee",', "out_dtype=tl.float16,"),
        ("acc += tl.dot", "acc -= tl.dot"),
    ],
)
def test_accumulate_refuses(old: str, new: str) -> None:
    assert DOT.count(old) == 1
    with pytest.raises(DoesNotApply, match="adds no dot"):
        accumulate.apply(DOT.replace(old, new), Move(accumulate.NAME, "k"))


DEPTHWISE = (
    reductions.HEAD
    + """
@triton.jit
def smooth(x_ptr, w_ptr, y_ptr, H, W, R, S, OH, OW, C, T: tl.constexpr):
    plane = tl.program_id(0)
    at = tl.program_id(1) * T + tl.arange(0, T)
    oh = at // OW
    ow = at % OW
    acc = tl.zeros((T,), dtype=tl.float32)
    r = 0
    while r < R:
        for s in range(S):
            ok = (at < OH * OW) & (oh + r < H)
            v = tl.load(x_ptr + (plane * H + oh + r) * W + ow + s, mask=ok, other=0.0)
            acc += v * tl.load(w_ptr + (plane % C * R + r) * S + s)
        r += 1
    tl.store(y_ptr + plane * OH * OW + at, acc, mask=at < OH * OW)


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, 3, 2))

    def forward(self, x):
        N, C, H, W = x.shape
        R, S = self.weight.shape[2:]
        OH, OW = H - R + 1, W - S + 1
        y = torch.empty((N, C, OH, OW), device=x.device, dtype=x.dtype)
        smooth[(N * C, triton.cdiv(OH * OW, 64))](
            x, self.weight, y, H, W, R, S, OH, OW, C, T=64)
        return y
"""
)


@pytest.mark.triton
def test_no_bit_changes_along_any_chain() -> None:
    problem = rewriting.problem([(2, 3, 11, 12)], (3,))
    view, calls = rewriting.traced(DEPTHWISE, problem)
    chains = registry.chains(view, calls)
    names = [tuple(move.name for move in moves) for moves in chains]
    assert ("specialise", "count", "unroll") in names
    (before,) = rewriting.outputs(DEPTHWISE, problem)
    for moves in chains:
        changed = registry.replay(DEPTHWISE, moves)
        assert np.array_equal(rewriting.outputs(changed, problem)[0], before)
        assert rewriting.compile_faults(changed, problem, (8, 9)) == []
        assert rewriting.compile_faults(changed, problem, (9, 0)) == []


def test_an_unknown_move_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="no rewrite is named melt"):
        registry.apply_move(DOT, Move("melt", "k"))
