"""vectorize: what it writes, what it refuses, and that each form computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found, replay
from warpwright.proposers.rewrites.vectorize import vectorize, worth
from warpwright.types.candidate import Claim, Move

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def walk(x_ptr, w_ptr, o_ptr, N, sx, so, B: tl.constexpr):
    row = tl.program_id(0)
"""
START = "    acc = 0.0\n"
LOOP = """\
    for i in range(N):
        # one element after the other
        x = tl.load(x_ptr + row * N + i)
        acc += x
        tl.store(o_ptr + row * N + i, acc)  # what is summed up so far
"""
HOST = """

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x, w):
        R, N = x.shape
        o = torch.zeros_like(x)
        walk[(R,)](x, w, o, N, x.stride(1), o.stride(1), B=64)
        return o
"""
KERNEL = HEAD + START + LOOP + HOST


def move(block: int = 128, loop: int = 0) -> Move:
    arguments = (("loop", loop), ("block", block))
    return Move(vectorize.NAME, "walk", arguments, Claim.SAME_SUM)


def of(loop: str, start: str = START, behind: str = "") -> str:
    return HEAD + start + loop + behind + HOST


def test_a_sum_so_far_is_scanned_across_a_block() -> None:
    new = """\
    # 128 elements a step; what a step hands on is put together across the lanes.
    for first in range(0, N, 128):
        lane = tl.arange(0, 128)
        i = first + lane
        inside = i < N
        # one element after the other
        x = tl.load(x_ptr + row * N + i, mask=inside)
        acc_term = tl.where(inside, x.to(tl.float32), 0.0)
        acc_scan = tl.cumsum(acc_term, 0)
        acc_after = acc + acc_scan
        acc += tl.sum(acc_term, 0)
        # what is summed up so far
        tl.store(o_ptr + row * N + i, acc_after, mask=inside)
"""
    assert vectorize.apply(KERNEL, move()) == KERNEL.replace(LOOP, new)


FORMS = {
    "sum": KERNEL,
    "unrolled": of(
        LOOP.replace("range(N)", "tl.static_range(0, B)"),
        "    acc = tl.zeros((), dtype=tl.float32)\n",
    ),
    "exclusive": of("""\
    for i in range(0, N):
        tl.store(o_ptr + row * N + i, acc)
        x = tl.load(x_ptr + row * N + i)
        x = x
        acc = acc + x
""".replace("        x = x\n", "")),
    "both ends": of("""\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        was = acc
        acc = x + acc
        tl.store(o_ptr + row * N + i, acc * 0.5 + was)
"""),
    "backwards": of("""\
    for i in range(N - 1, -1, -1):
        x = tl.load(x_ptr + row * N + i)
        acc += x
        tl.store(o_ptr + row * N + i, acc)
"""),
    "mirrored": of("""\
    for i in range(N):
        j = N - 1 - i
        x = tl.load(x_ptr + row * N + j)
        acc += x
        tl.store(o_ptr + row * N + j, acc)
"""),
    "every other": of("""\
    for i in range(1, N, 2):
        acc += tl.load(x_ptr + row * N + i)
        tl.store(o_ptr + row * N + i, acc)
"""),
    "masked": of("""\
    for i in range(N):
        keep = tl.load(w_ptr + row * N + i) > 0
        x = tl.load(x_ptr + row * N + i, keep, 0.0)
        acc += tl.where(keep, x, 0.0)
        tl.store(o_ptr + row * N + i, acc, mask=keep)
"""),
    "only where": of("""\
    for i in range(N):
        keep = tl.load(w_ptr + row * N + i) > 0
        x = tl.load(x_ptr + row * N + i)
        acc = tl.where(keep, acc + x, acc)
        tl.store(o_ptr + row * N + i, acc)
"""),
    "product": of("""\
    for i in range(N):
        x = 1.0 + 0.01 * tl.load(x_ptr + row * N + i)
        acc *= x
        tl.store(o_ptr + row * N + i, tl.exp(-acc))
""", "    acc = tl.full((), 1.0, tl.float32)\n"),
    "largest": of("""\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        acc = tl.maximum(acc, x)
        tl.store(o_ptr + row * N + i, acc)
""", '    acc = -float("inf")\n'),
    "smallest by comparing": of("""\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        acc = tl.where(x < acc, x, acc)
        tl.store(o_ptr + row * N + i, acc)
""", "    acc = 1e30\n"),
    "from the first": of("""\
    for i in range(1, N):
        x = tl.load(x_ptr + row * N + i)
        tl.store(o_ptr + row * N + i, x + acc)
        acc = tl.maximum(x, acc)
""", "    acc = tl.load(x_ptr + row * N)\n"),
    "pointers": of("""\
    p = x_ptr + row * N
    q = o_ptr + row * N
    for i in range(N):
        acc += tl.load(p)
        tl.store(q, acc)
        p += sx
        q += so
"""),
    "a pointer moved first": of("""\
    p = x_ptr + row * N - 1
    for i in range(N):
        p += 1
        acc += tl.load(p)
        tl.store(o_ptr + row * N + i, acc)
"""),
    "strides": of("""\
    for i in range(N):
        at = i * so
        acc += tl.load(x_ptr + row * N + i * sx)
        tl.store(o_ptr + row * N + at, acc)
"""),
    "in place": of("""\
    for i in range(N):
        tl.store(o_ptr + row * N + i, tl.load(x_ptr + row * N + i))
    for i in range(N):
        x = tl.load(o_ptr + row * N + i)
        acc += x * x
        tl.store(o_ptr + row * N + i, acc)
"""),
    "a sum of sums": of("""\
    for i in range(N):
        acc += tl.load(x_ptr + row * N + i)
        twice += acc
        tl.store(o_ptr + row * N + i, twice)
""", "    acc = 0.0\n    twice = 0.0\n"),
    "the last one alone": of("""\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        acc += x * x
        most = tl.maximum(most, x)
        least = min(least, x)
""", "    acc = 0.0\n    most = -1e30\n    least = 1e30\n",
        "    tl.store(o_ptr + row * N, acc + most + least)\n"),
    "counted": of("""\
    for i in range(N):
        over = tl.load(x_ptr + row * N + i) > 0
        acc += over.to(tl.int32)
        tl.store(o_ptr + row * N + i, acc)
""", "    acc = 0\n"),
    "a name from before": of("""\
    x = 1.0
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        acc += x
        tl.store(o_ptr + row * N + i, acc)
"""),
    "under a condition": of("""\
    for i in range(N):
        keep = tl.load(w_ptr + row * N + i).to(tl.int32)
        x = tl.load(x_ptr + row * N + i)
        y = 0.0
        if x > most:
            most = x
        if keep:
            acc += x
            y = x
        tl.store(o_ptr + row * N + i, acc + most + y)
""", '    acc = 0.0\n    most = -float("inf")\n'),
    "one lane": of("""\
    for i in range(N):
        at = row * N + i + tl.arange(0, 1)
        x = tl.load(x_ptr + at)
        acc += x
        tl.store(o_ptr + at, acc)
""", "    acc = tl.zeros((1,), dtype=tl.float32)\n"),
    "rows as lanes": of("""\
    rows = tl.arange(0, 4)
    there = (rows < 1) & (row >= 0)
    base = (row + rows) * N
    total = tl.zeros((4,), dtype=tl.float32)
    for i in range(N):
        x = tl.load(x_ptr + base + i, mask=there, other=0.0)
        w = tl.load(w_ptr + i)
        total += x * w
        tl.store(o_ptr + base + i, total, mask=there)
""", ""),
    "rows summed up": of("""\
    rows = tl.arange(0, 4)
    there = (rows < 1) & (row >= 0)
    total = tl.zeros([4], dtype=tl.float32)
    squares = tl.zeros([4], dtype=tl.float32)
    at = x_ptr + (row + rows) * N
    for i in range(N):
        x = tl.load(at, mask=there)
        total += x
        squares += x * x
        at += 1
    tl.store(o_ptr + (row + rows) * N, total + squares, mask=there)
""", ""),
}  # fmt: skip
QUICK = ("sum", "exclusive", "largest", "pointers", "under a condition", "rows as lanes")
PROBLEM = rewriting.problem([(3, 70), (3, 70)])


def last_loop(text: str) -> int:
    return text.split("class ModelNew")[0].count("for i in") - 1


@pytest.mark.triton
@pytest.mark.parametrize("form", slow_but(QUICK, FORMS))
def test_each_form_computes_the_same(form: str) -> None:
    text = FORMS[form]
    before = rewriting.outputs(text, PROBLEM)
    for block in (32, 64, 128):
        after = rewriting.outputs(vectorize.apply(text, move(block, last_loop(text))), PROBLEM)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("form", slow_but(QUICK, FORMS))
def test_each_form_compiles(form: str, capability: tuple[int, int]) -> None:
    text = vectorize.apply(FORMS[form], move(128, last_loop(FORMS[form])))
    assert rewriting.compile_faults(text, PROBLEM, capability) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("acc += x", "acc = 0.5 * acc + x", "no sum, product or extreme"),
        ("acc += x", "acc = acc * acc", "reads acc twice"),
        ("acc += x", "acc = acc + acc * x", "reads acc twice"),
        ("acc += x", "y = acc * x\n        acc += y", "depends on acc"),
        ("acc += x", "acc += x\n        acc += 1.0", "assigned twice"),
        ("acc += x", "acc = tl.maximum(acc, x, propagate_nan=1)", "no sum, product"),
        ("acc += x", "acc += tl.sum(x, 0)", "element by element"),
        ("acc += x", "acc += helper(x)", "element by element"),
        ("acc += x", "acc += x if i > 3 else 0.0", "lane by lane"),
        ("acc += x", "if i > 3:\n            acc += x\n        else:\n            acc += 1.0",
         "stands in the loop"),
        ("acc += x", "if i > 3:\n            acc += tl.load(w_ptr + i)", "stands in the loop"),
        ("acc += x", "if x > acc:\n            acc = x\n            x = acc", "stands in the loop"),
        ("acc += x", "if i > 3 and i < 9:\n            acc += x", "lane by lane"),
        ("acc += x", "tl.atomic_add(o_ptr + i, x)\n        acc += x", "stands in the loop"),
        ("acc += x", "acc += tl.atomic_add(o_ptr + i, x)", "element by element"),
        ("range(N)", "range(0, N, B)", "step is no plain number"),
        ("range(N)", "tl.range(N, flatten=True)", "no plain range"),
        ("range(N)", "range(sx, N)", None),
        ("range(N)", "range(tl.load(w_ptr))", "bounds are loaded"),
        ("acc += x", "acc += x\n        so += 0.5", "by a fraction"),
        ("acc += x", "acc += x\n        N = N", "bounds the loop"),
        ("acc += x", "i = i + 1\n        acc += x", "assigns its variable"),
        ("o_ptr + row * N + i, acc", "o_ptr + row, acc", "to the same place"),
        ("o_ptr + row * N + i, acc", "o_ptr + i // 2, acc", "to the same place"),
        ("o_ptr + row * N + i, acc", "o_ptr + i * i, acc", "to the same place"),
        ("o_ptr + row * N + i, acc", "x_ptr + row * N + i + 1, acc", "at another address"),
        ("o_ptr + row * N + i, acc", "tl.load(w_ptr) + i, acc", "the tensor of"),
        ("    acc = 0.0\n", "", "no value before"),
        ("    acc = 0.0\n", "    acc = tl.zeros((B,), dtype=tl.float32)\n", "another form"),
        ("range(N)", "tl.static_range(B)", "a number of no type"),
        ("acc += x", "acc = tl.where(x > acc, x, acc)", None),
        ("acc = 0.0\n", 'acc = float("nan")\n', None),
    ],
)  # fmt: skip
def test_what_may_not_be_computed_across_lanes_is_refused(
    old: str, new: str, why: str | None
) -> None:
    assert KERNEL.count(old) == 1
    text = KERNEL.replace(old, new)
    if why is None:
        vectorize.apply(text, move())
        return
    with pytest.raises(DoesNotApply, match=why):
        vectorize.apply(text, move())


def test_a_comparison_that_keeps_what_is_no_number_is_refused() -> None:
    text = of(
        LOOP.replace("acc += x", "acc = tl.where(x > acc, x, acc)"), "    acc = tl.load(w_ptr)\n"
    )
    with pytest.raises(DoesNotApply, match="no number"):
        vectorize.apply(text, move())


@pytest.mark.parametrize("name", ["x", "i"])
def test_what_is_read_behind_the_loop_is_refused(name: str) -> None:
    text = of(LOOP, behind=f"    tl.store(o_ptr + row, {name})\n")
    with pytest.raises(DoesNotApply, match="read behind"):
        vectorize.apply(text, move())


def test_a_stride_that_might_be_zero_has_a_guard() -> None:
    text = vectorize.apply(FORMS["strides"], move())
    assert "    if so != 0:\n        for first in range(0, N, 128):\n" in text
    assert "    else:\n        for i in range(N):\n            at = i * so\n" in text
    with pytest.raises(DoesNotApply, match="was kept"):
        vectorize.apply(text, move(loop=1))


def test_it_is_done_once() -> None:
    with pytest.raises(DoesNotApply):
        vectorize.apply(vectorize.apply(KERNEL, move()), move())


def test_blocks_are_no_longer_than_the_loop() -> None:
    assert finds(KERNEL, [(3, 70), (3, 70)]) == [move(128)]
    assert finds(KERNEL, [(3, 5000), (3, 5000)]) == [move(worth.BLOCK)]
    assert finds(KERNEL, [(3, 20), (3, 20)]) == []


def test_lanes_of_the_kernel_become_rows_where_they_lie_apart() -> None:
    assert finds(FORMS["rows summed up"], [(3, 500), (3, 500)]) == [move(512)]
    along = FORMS["rows summed up"].replace("(row + rows) * N", "row * N + rows", 1)
    assert finds(along.replace("at += 1", "at += N"), [(3, 500), (3, 500)]) == []


def test_one_lane_of_the_kernel_is_none() -> None:
    assert finds(FORMS["one lane"], [(3, 5000), (3, 5000)]) == [move(1024)]


def test_one_tensor_under_two_names_must_be_at_one_address() -> None:
    same = KERNEL.replace("o = torch.zeros_like(x)", "o = x")
    assert finds(same, [(3, 70), (3, 70)]) == []
    assert finds(same.replace("walk[(R,)](x", "walk[(R,)](w"), [(3, 70), (3, 70)]) == [move(128)]


def finds(text: str, shapes: rewriting.Shapes) -> list[Move]:
    calls = rewriting.traced(text, rewriting.problem(shapes))[1]
    moves = found(vectorize.NAME, text, calls)
    for one in moves:
        assert replay(text, [one]) == vectorize.apply(text, one)
    return list(moves)


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["wide", "nonfinite"])
@pytest.mark.parametrize(
    "form", slow_but(["exclusive"], ["sum", "exclusive", "only where", "largest", "product"])
)
def test_what_is_large_or_no_number_comes_out_where_it_did(form: str, distribution: str) -> None:
    text = FORMS[form]
    with np.errstate(all="ignore"):
        before = rewriting.outputs(text, PROBLEM, distribution=distribution)
        after = rewriting.outputs(vectorize.apply(text, move()), PROBLEM, distribution=distribution)
    for one, other in zip(before, after, strict=True):
        most = np.abs(one[np.isfinite(one)]).max()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * most)


COUNTED = """\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        if x > 0.0:
            count += 1
        tl.store(o_ptr + row * N + i, count * 1.0)
"""
CAPPED = """\
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        low = acc < 2.0
        acc = tl.where(low, acc + x, acc)
        tl.store(o_ptr + row * N + i, acc)
"""


def test_a_condition_is_part_of_what_a_step_does() -> None:
    with pytest.raises(DoesNotApply, match="count has another form"):
        vectorize.apply(of(COUNTED, "    count = 0\n"), move())
    same = COUNTED.replace("if x > 0.0:", "if so > 0:")
    with pytest.raises(DoesNotApply, match="under a condition alike in all steps"):
        vectorize.apply(of(same, "    count = 0\n"), move())
    with pytest.raises(DoesNotApply, match="depends on acc"):
        vectorize.apply(of(CAPPED), move())


@pytest.mark.parametrize(
    ("start", "stride", "why"),
    [
        ("    s = 1\n", "s", "the loop assigns s"),
        ("    s = tl.arange(0, B)\n", "so * s", "may be zero"),
    ],
)
def test_a_stride_that_no_guard_can_ask_for_is_refused(start: str, stride: str, why: str) -> None:
    inside = "        s = so * 2\n" if stride == "s" else ""
    loop = f"""\
    for i in range(N):
{inside}        x = tl.load(x_ptr + row * N + i)
        tl.store(o_ptr + row * N + i * ({stride}), x)
"""
    with pytest.raises(DoesNotApply, match=why):
        vectorize.apply(of(loop, start), move())


@pytest.mark.parametrize(
    ("update", "term"),
    [
        ("acc -= x", "-x.to(tl.float32)"),
        ("acc = acc + x + w", "x.to(tl.float32) + w.to(tl.float32)"),
        ("acc += x + w", "(x + w).to(tl.float32)"),
    ],
)
def test_terms_are_of_the_values_type_before_they_meet(update: str, term: str) -> None:
    loads = "        w = tl.load(w_ptr + row * N + i)\n"
    text = of(LOOP.replace("        acc += x\n", f"{loads}        {update}\n"))
    assert f"acc_term = tl.where(inside, {term}, 0.0)" in vectorize.apply(text, move())
