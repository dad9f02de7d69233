"""fewer-atomics: what it writes, when it refuses, and that results keep all but their order."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.atomics import fewer_atomics
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found
from warpwright.types.candidate import Claim, Move

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


"""
SCALAR = '''\
@triton.jit
def gather(x_ptr, o_ptr, top_ptr, n, B: tl.constexpr):
    """Squares and the largest of all blocks."""
    block = tl.program_id(0)
    row = tl.program_id(axis=1)  # of the batch
    at = block * B + tl.arange(0, B)
    ok = at < n
    x = tl.load(x_ptr + row * n + at, mask=ok, other=0.0)

    scaled = x / 2.0
    scaled = scaled * ok.to(scaled.dtype)
    whole = tl.sum(
        scaled
        * scaled,
        axis=0,
    )
    target = o_ptr + row
    # every block adds to one place
    tl.atomic_add(target, whole, sem="relaxed")
    tl.atomic_max(top_ptr, tl.max(x))  # of all rows


class ModelNew(nn.Module):
    def forward(self, x):
        R, n = x.shape
        o = torch.zeros((R,), device=x.device)
        top = torch.full((1,), -1.0, device=x.device)
        BLOCK = 32
        grid = lambda meta: (triton.cdiv(n, meta["B"]), R)
        gather[grid](x, o, top, n, B=BLOCK)
        return o, top
'''
GOLDEN = '''\
@triton.jit
def gather(x_ptr, o_ptr, top_ptr, n, B: tl.constexpr, programs):
    """Squares and the largest of all blocks."""
    row = tl.program_id(axis=1)
    target = o_ptr + row
    # A program takes up to 4 blocks, as far apart as there are programs, and
    # adds their results once.
    first_block = tl.program_id(0)
    apart = tl.num_programs(0)
    partial = tl.zeros((B,), dtype=tl.float32)
    partial_ = tl.full((B,), float("-inf"), dtype=tl.float32)
    for step in range(0, tl.cdiv(programs - first_block, apart)):
        block = first_block + step * apart
        at = block * B + tl.arange(0, B)
        ok = at < n
        x = tl.load(x_ptr + row * n + at, mask=ok, other=0.0)

        scaled = x / 2.0
        scaled = scaled * ok.to(scaled.dtype)
        partial += (scaled
            * scaled)
        # every block adds to one place
        partial_ = tl.maximum(partial_, x)  # of all rows
    tl.atomic_add(target, tl.sum(partial, axis=0), sem='relaxed')
    tl.atomic_max(top_ptr, tl.max(partial_))


class ModelNew(nn.Module):
    def forward(self, x):
        R, n = x.shape
        o = torch.zeros((R,), device=x.device)
        top = torch.full((1,), -1.0, device=x.device)
        BLOCK = 32
        grid = lambda meta: (triton.cdiv(n, meta["B"]), R)
        gather[(triton.cdiv(triton.cdiv(n, BLOCK), 4), R)](x, o, top, n, B=BLOCK, \
programs=triton.cdiv(n, BLOCK))
        return o, top
'''
VECTOR = """\
@triton.jit
def columns(x_ptr, o_ptr, R, C, BR: tl.constexpr, BC: tl.constexpr):
    r = tl.program_id(0) * BR + tl.arange(0, BR)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    ok = (r < R)[:, None] & (c < C)[None, :]
    x = tl.load(x_ptr + r[:, None] * C + c[None, :], mask=ok, other=0.0)
    part = tl.sum(tl.abs(x), axis=1)
    place = o_ptr + r
    tl.atomic_add(place, part * 0.5, mask=r < R)


class ModelNew(nn.Module):
    def forward(self, x):
        R, C = x.shape
        o = torch.zeros((R,), device=x.device)
        grid = (triton.cdiv(R, 4), triton.cdiv(C, 16), 1)
        columns[grid](x, o, R, C, BR=4, BC=16)
        return o
"""
TWICE = """\
@triton.jit
def gather(x_ptr, o_ptr, R, C, BR: tl.constexpr, BC: tl.constexpr):
    r = tl.program_id(0) * BR + tl.arange(0, BR)
    c = tl.arange(0, BC)
    acc = tl.zeros((BR, BC), dtype=tl.float32)
    for k in range(2):
        ok = (r < R)[:, None] & (c < C)[None, :]
        acc += tl.load(x_ptr + r[:, None] * C + c[None, :], mask=ok, other=0.0) * k
    part = tl.sum(acc, axis=0)
    part = tl.sum(part, axis=0)
    tl.atomic_add(o_ptr, part)


class ModelNew(nn.Module):
    def forward(self, x):
        R, C = x.shape
        o = torch.zeros((1,), device=x.device)
        gather[(triton.cdiv(R, 4),)](x, o, R, C, BR=4, BC=16)
        return o
"""
FORMS = {
    "lambda": (HEAD + SCALAR, "gather", 0, [(3, 401)]),
    "vector of addresses": (HEAD + VECTOR, "columns", 1, [(10, 100)]),
    "two sums": (HEAD + TWICE, "gather", 0, [(53, 13)]),
}


def move(kernel: str = "gather", axis: int = 0, blocks: int = 4, *, lanes: bool = True) -> Move:
    arguments = (("axis", axis), ("blocks", blocks), ("lanes", lanes))
    return Move(fewer_atomics.NAME, kernel, arguments, Claim.SAME_SUM)


def test_blocks_are_added_up_in_a_loop_and_meet_behind_it() -> None:
    assert fewer_atomics.apply(HEAD + SCALAR, move()) == HEAD + GOLDEN


def test_sums_of_sums_meet_once() -> None:
    moved = fewer_atomics.apply(HEAD + TWICE, move())
    assert "        partial += acc\n" in moved
    assert "    tl.atomic_add(o_ptr, tl.sum(tl.sum(partial, axis=0), axis=0))\n" in moved


def test_results_are_added_up_where_lanes_have_no_room() -> None:
    moved = fewer_atomics.apply(HEAD + TWICE, move(lanes=False))
    assert "    partial = tl.zeros((), dtype=tl.float32)\n" in moved
    assert "        partial += part\n    tl.atomic_add(o_ptr, partial)\n" in moved
    moved = fewer_atomics.apply(HEAD + VECTOR, move("columns", 1))
    assert "        partial += part * 0.5\n" in moved


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("target = o_ptr + row", "target = o_ptr + block", "places of their own"),
        ("target = o_ptr + row", "target = o_ptr + tl.load(x_ptr + row)", "no plain sum"),
        ("target = o_ptr + row", "target = o_ptr\n    target += row", "several steps"),
        ("    tl.atomic_add(target, whole", "    seen = tl.atomic_add(target, whole",
         "no plain atomic"),
        ("    tl.atomic_add(target, whole", "    if row > 0:\n        tl.atomic_add(target, whole",
         "no plain atomic"),
        ("tl.atomic_max(top_ptr, tl.max(x))", "tl.atomic_xchg(top_ptr, tl.max(x))",
         "no plain atomic"),
        ("tl.atomic_max(top_ptr, tl.max(x))", "tl.atomic_max(top_ptr, tl.max(x), ok)",
         "another way"),
        ("    ok = at < n\n", "    if block > n:\n        return\n    ok = at < n\n", "can read"),
        ("    ok = at < n\n", "    ok = at < tl.num_programs(0)\n", "more than compute"),
        ("    ok = at < n\n", "    ok = at < n; y = 0\n", "share a line"),
        ("    ok = at < n\n", "    n = n + 0\n    ok = at < n\n", "changed by the kernel"),
        ("    ok = at < n\n", "    ok = helper(at)\n", "more than compute"),
        ("scaled = x / 2.0", "scaled = (x > 0) + at", "no float32"),
        ("scaled = x / 2.0", "scaled = x.to(tl.float64)", "no float32"),
        ("    block = tl.program_id(0)\n", "    block = 0\n", "nothing follows"),
        ('meta["B"]', 'meta["WIDE"]', "on the config"),
        ("B=BLOCK)", "B=2 * 16)", "on the config"),
        ("        gather[grid]", "        grid = tuple([8, R])\n        gather[grid]", "no plain"),
        ("        gather[grid]", "        any_kernel = gather if n else other\n"
         "        any_kernel[grid]", "several kernels"),
    ],
)  # fmt: skip
def test_what_is_not_one_sum_of_all_blocks_is_refused(old: str, new: str, why: str) -> None:
    text = HEAD + SCALAR.replace(
        "\n\nclass Mod", "\n\n@triton.jit\ndef other(x_ptr, o_ptr):\n    pass\n\n\nclass Mod"
    )
    assert text.count(old) == 1, old
    with pytest.raises(DoesNotApply, match=why):
        fewer_atomics.apply(text.replace(old, new), move())


def test_it_is_found_where_blocks_are_many() -> None:
    text, kernel, _, _ = FORMS["lambda"]
    calls = rewriting.traced(text, rewriting.problem([(8, 100_000)]))[1]
    assert found(fewer_atomics.NAME, text, calls) == (move(kernel, 0, 16),)
    calls = rewriting.traced(text, rewriting.problem([(8, 10_000)]))[1]
    assert found(fewer_atomics.NAME, text, calls) == (move(kernel, 0, 2),)
    calls = rewriting.traced(text, rewriting.problem([(8, 1000)]))[1]
    assert found(fewer_atomics.NAME, text, calls) == ()
    wide = text.replace("BLOCK = 32", "BLOCK = 8192")
    calls = rewriting.traced(wide, rewriting.problem([(64, 1_000_000)]))[1]
    assert found(fewer_atomics.NAME, wide, calls) == (move(kernel, 0, 4, lanes=False),)
    text, kernel, axis, _ = FORMS["vector of addresses"]
    calls = rewriting.traced(text, rewriting.problem([(64, 32_000)]))[1]
    assert found(fewer_atomics.NAME, text, calls) == (move(kernel, axis, 16),)


@pytest.mark.triton
@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("form", slow_but(["lambda", "vector of addresses"], FORMS))
def test_the_results_stay(form: str, lanes: bool) -> None:
    """Also where the number of blocks is no multiple, and where a program takes all of them."""
    text, kernel, axis, shapes = FORMS[form]
    problem = rewriting.problem(shapes)
    before = rewriting.outputs(text, problem)
    for blocks in (4, 32):
        moved = fewer_atomics.apply(text, move(kernel, axis, blocks, lanes=lanes))
        for one, other in zip(before, rewriting.outputs(moved, problem), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_compiles(form: str, capability: tuple[int, int]) -> None:
    text, kernel, axis, shapes = FORMS[form]
    moved = fewer_atomics.apply(text, move(kernel, axis))
    assert rewriting.compile_faults(moved, rewriting.problem(shapes), capability) == []
