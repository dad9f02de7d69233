"""coarsen: what it writes, what it refuses, and that each form computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.coarsen import coarsen
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found, replay
from warpwright.types.candidate import Claim, Move

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def down(x_ptr, o_ptr, M, N, BLOCK: tl.constexpr):
    # one output a program
    pid = tl.program_id(0)
"""
BODY = """\
    b = pid // N
    n = pid % N
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, M, BLOCK):
        m = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + b * M * N + m * N + n, mask=m < M, other=0.0)
        total += x
    tl.store(o_ptr + pid, tl.sum(total, axis=0))  # the sum
"""
HOST = """

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        B, M, N = x.shape
        o = torch.empty((B, N), device=x.device)
        down[(B * N,)](x, o, M, N, BLOCK=32)
        return o
"""
KERNEL = HEAD + BODY + HOST


def move(lanes: int = 16, axis: int = 0) -> Move:
    return Move(coarsen.NAME, "down", (("axis", axis), ("lanes", lanes)), Claim.SAME_SUM)


def of(body: str, grid: str = "(B * N,)", host: str = HOST) -> str:
    return HEAD + body + host.replace("(B * N,)", grid)


def test_programs_become_the_last_axis_and_the_launch_asks_for_fewer() -> None:
    new = """\
    # one output a program
    pid = tl.program_id(0) * 16 + tl.arange(0, 16)
    live = pid < programs
    b = pid // N
    n = pid % N
    total = tl.zeros([BLOCK, 16], dtype=tl.float32)
    for start in range(0, M, BLOCK):
        m = start + tl.arange(0, BLOCK)
        x = tl.load(
            (x_ptr + b * M * N)[None, :] + (m * N)[:, None] + n[None, :],
            mask=(m < M)[:, None] & live[None, :],
            other=0.0,
        )
        total = total + x
    tl.store(o_ptr + pid, tl.sum(total, axis=0), mask=live)  # the sum
"""
    text = coarsen.apply(KERNEL, move())
    assert new in text
    assert "def down(x_ptr, o_ptr, M, N, BLOCK: tl.constexpr, programs):" in text
    assert "down[(triton.cdiv(B * N, 16),)](x, o, M, N, BLOCK=32, programs=B * N)" in text


LANES_ALONE = """\
    row = pid // N
    col = pid % N
    acc = 0.0
    count = 0
    most = -float("inf")
    for m in range(M):
        x = tl.load(x_ptr + (row * M + m) * N + col)
        acc += x * x
        most = tl.maximum(most, x)
        count += (x > 0).to(tl.int32)
    tl.store(o_ptr + pid, tl.sqrt(acc) + most + count)
"""
FORMS = {
    "sums": KERNEL,
    "no lanes of its own": of(LANES_ALONE),
    "leaves early": of("    if pid >= M * N or pid < 0:\n        return\n" + LANES_ALONE,
                       host=HOST.replace("torch.empty(", "torch.zeros(")),
    "two axes": of(BODY.replace("pid // N", "tl.program_id(1)").replace("pid % N", "pid")
                   .replace("o_ptr + pid", "o_ptr + b * N + n"), "(N, B)"),
    "a grid with a name": of(BODY, "grid").replace(
        "    o = torch", "    grid = lambda meta: (B * N,)\n        o = torch"
    ),
    "softmax of an outer axis": of("""\
    b = pid // N
    n = pid % N
    m = tl.arange(0, BLOCK)
    here = x_ptr + b * M * N + n
    inside = m < 16
    x = tl.load(here + m * N, mask=inside, other=-float("inf"))
    most = tl.max(x, 0)
    e = tl.exp(x - most)
    e = tl.where(inside, e, 0.0)
    share = e / tl.sum(e)
    tl.store(o_ptr + pid, tl.max(share * share, axis=0), mask=pid >= 0)
"""),
    "a sum with a start": of(BODY.replace("dtype=tl.float32)", "dtype=tl.float32) + 1.0")),
    "positions": of("""\
    b = pid // N
    n = pid % N
    m = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + b * M * N + m * N + n, mask=m < M, other=-1e30)
    so_far = tl.cumsum(tl.where(m < M, x, 0.0), 0)
    if M > 4:
        so_far = so_far * 2.0
    else:
        so_far = so_far * 3.0
    best = tl.argmax(x, axis=0)
    tl.store(o_ptr + pid, best.to(tl.float32) + tl.sum(so_far, axis=0))
"""),
}  # fmt: skip
QUICK = ("no lanes of its own", "leaves early", "softmax of an outer axis")
PROBLEM = rewriting.problem([(2, 30, 21)])


@pytest.mark.triton
@pytest.mark.parametrize("form", slow_but(QUICK, FORMS))
def test_each_form_computes_the_same(form: str) -> None:
    before = rewriting.outputs(FORMS[form], PROBLEM)
    for lanes in (8, 64):
        after = rewriting.outputs(coarsen.apply(FORMS[form], move(lanes)), PROBLEM)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("form", slow_but(QUICK, FORMS))
def test_each_form_compiles(form: str, capability: tuple[int, int]) -> None:
    text = coarsen.apply(FORMS[form], move())
    assert rewriting.compile_faults(text, PROBLEM, capability) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("    pid = tl.program_id(0)\n", "    pid = tl.program_id(0) + 1\n", "to one name"),
        ("total += x", "total += x + tl.program_id(0)", "to one name"),
        ("total += x", "total += x * tl.num_programs(0)", "how many programs"),
        ("range(0, M, BLOCK)", "range(0, n, BLOCK)", "bounds depend"),
        ("        total += x\n", "        if n > 3:\n            total += x\n", "branch depends"),
        ("        total += x\n", "        if n > 3:\n            return\n", "leaves early"),
        ("o_ptr + pid", "o_ptr", "one place"),
        ("total += x", "total += helper(x)", "lane by lane"),
        ("total += x", "total += x if M > n else x", "lane by lane"),
        ("total += x", "total += tl.sum(x[:, None], axis=0)", "lane by lane"),
        ("tl.sum(total, axis=0)", "tl.sum(total, axis=0, keep_dims=True)", "no plain reduction"),
        ("tl.sum(total, axis=0)", "tl.sum(total, axis=1)", "no plain reduction"),
        ("tl.zeros([BLOCK], dtype=tl.float32)", "tl.zeros([BLOCK, 1], dtype=tl.float32)", "form"),
        ("tl.zeros([BLOCK], dtype=tl.float32)", "tl.arange(0, BLOCK)", "starts as"),
        ("tl.zeros([BLOCK], dtype=tl.float32)", "0.0", "two forms"),
        ("    b = pid // N\n    n = pid % N\n", "    b, n = pid // N, pid % N\n",
         "more than a name"),
        ("down[(B * N,)](", "down[(B * N,)](*[], ", "splatted"),
        ("down[(B * N,)]", "down[lambda meta: (B * N // meta['WIDE'],)]", "on the config"),
        ("down[(B * N,)]", "down[[B * N]]", "no plain tuple"),
        ("        down[(B * N,)]", "        grid = (B * N,)\n        N = N + 1\n        down[grid]",
         "more than once"),
        ("        down[(B * N,)]", "        global G\n        down[G]", "no plain tuple"),
    ],
)  # fmt: skip
def test_what_is_not_one_program_beside_another_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        coarsen.apply(KERNEL.replace(old, new), move())


def test_it_is_found_where_programs_read_what_lies_together() -> None:
    assert finds(KERNEL, [(64, 100, 256)]) == [move(64)]
    assert finds(FORMS["no lanes of its own"], [(64, 100, 256)]) == [move(64)]
    assert finds(FORMS["two axes"], [(64, 100, 256)]) == [move(64)]
    inner = KERNEL.replace("m * N + n", "m + n * M")
    assert finds(inner, [(64, 100, 256)]) == []
    assert finds(KERNEL, [(1, 100, 4)]) == []


def test_a_tile_fits_into_the_registers_of_its_warps() -> None:
    long = KERNEL.replace("BLOCK=32)", "BLOCK=2048)")
    assert finds(long, [(64, 100, 256)]) == []
    assert finds(long.replace("=2048)", "=2048, num_warps=8)"), [(64, 100, 256)]) == [move(8)]


def finds(text: str, shapes: rewriting.Shapes) -> list[Move]:
    calls = rewriting.traced(text, rewriting.problem(shapes))[1]
    moves = found(coarsen.NAME, text, calls)
    for one in moves:
        assert replay(text, [one]) == coarsen.apply(text, one)
    return list(moves)


def test_a_value_that_may_be_no_number_ends_no_program() -> None:
    leaves = "    v = tl.load(x_ptr + pid)\n    if v < 0.0:\n        return\n"
    stores = "    tl.store(o_ptr + pid, v)\n"
    with pytest.raises(DoesNotApply, match="turned around differs for no number"):
        coarsen.apply(of(leaves + stores), move())
    assert "live & (v != 0.0)" in coarsen.apply(
        of(leaves.replace("v < 0.0", "v == 0.0") + stores), move()
    )


@pytest.mark.parametrize("start", ["1 / 2", "float(0)", "4000000000", "1 << 40"])
def test_a_start_that_may_be_no_int32_is_refused(start: str) -> None:
    body = f"    v = {start}\n    for m in range(M):\n        v += tl.load(x_ptr + pid * M + m)\n"
    with pytest.raises(DoesNotApply, match="may be no int32"):
        coarsen.apply(of(body + "    tl.store(o_ptr + pid, v)\n"), move())
