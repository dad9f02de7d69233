"""widen: what it writes, when it refuses, that the results stay, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.costmodel.launch_counts import config_counts
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found
from warpwright.proposers.rewrites.widen import widen_rewrite as widen
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def share(x_ptr, b_ptr, y_ptr, top_ptr, N, C, P, step, B: tl.constexpr):
    n = tl.program_id(0)
    pixel = tl.program_id(axis=1)
    if n >= N or pixel >= P:
        return
    lane = tl.arange(0, B)
    base = n * C * P + pixel
    top = -float("inf")
    total = tl.zeros((), dtype=tl.float32)
    weighed = tl.zeros((B,), dtype=tl.float32)
    for c in range(0, C, B):
        ok = c + lane < C
        x = tl.load(x_ptr + base + (c + lane) * step, mask=ok, other=-float("inf"))
        top = tl.maximum(top, tl.max(x, axis=0))
    for c in range(0, C, B):
        ok = c + lane < C
        x = tl.load(x_ptr + base + (c + lane) * step, mask=ok, other=-float("inf"))
        b = tl.load(b_ptr + c + lane, mask=ok, other=0.0)
        weighed += tl.exp(x - top) * b
        total += tl.sum(tl.exp(x - top))
    tl.store(top_ptr + n * P + pixel, top)
    share = tl.sum(weighed, 0) / total
    if C > 1:
        share = share * 2.0
    tl.store(y_ptr + n * P + pixel, share)


class ModelNew(nn.Module):
    def forward(self, x, b):
        N, C, P = x.shape
        y = torch.empty((N, P), device=x.device)
        top = torch.empty_like(y)
        grid = (N, P)
        share[grid](x, b, y, top, N, C, P, P, B=16)
        return y, top
"""
GOLDEN = """\
def share(x_ptr, b_ptr, y_ptr, top_ptr, N, C, P, step, B: tl.constexpr, ROWS: tl.constexpr = 1):
    n = tl.program_id(0)
    pixel = (tl.program_id(axis=1) * ROWS + tl.arange(0, ROWS))[None, :]
    alive = ~((n >= N) | (pixel >= P))
    lane = tl.arange(0, B)[:, None]
    base = n * C * P + pixel
    top = tl.full((1, ROWS), -float("inf"), dtype=tl.float32)
    total = tl.zeros((1, ROWS), dtype=tl.float32)
    weighed = tl.zeros((B, ROWS), dtype=tl.float32)
    for c in range(0, C, B):
        ok = c + lane < C
        x = tl.load(x_ptr + base + (c + lane) * step, mask=ok & alive, other=-float("inf"))
        top = tl.maximum(top, tl.max(x, axis=0, keep_dims=True))
    for c in range(0, C, B):
        ok = c + lane < C
        x = tl.load(x_ptr + base + (c + lane) * step, mask=ok & alive, other=-float("inf"))
        b = tl.load(b_ptr + c + lane, mask=ok, other=0.0)
        weighed += tl.exp(x - top) * b
        total += tl.sum(tl.exp(x - top), axis=0, keep_dims=True)
    tl.store(top_ptr + n * P + pixel, top, mask=alive)
    share = tl.sum(weighed, 0, keep_dims=True) / total
    if C > 1:
        share = share * 2.0
    tl.store(y_ptr + n * P + pixel, share, mask=alive)


class ModelNew(nn.Module):
    def forward(self, x, b):
        N, C, P = x.shape
        y = torch.empty((N, P), device=x.device)
        top = torch.empty_like(y)
        grid = (N, P)
        # A program takes so many neighbours at once.
        programs = P
        rows = 8 if programs % 8 == 0 else 1
        share[(N, programs // rows)](x, b, y, top, N, C, P, P, B=16, ROWS=rows)
        return y, top
"""


def move(axis: int = 1, rows: int = 8, *, last: bool = True) -> Move:
    arguments = (("axis", axis), ("rows", rows), ("last", last))
    return Move(widen.NAME, "share", arguments, Claim.SAME_SUM)


def test_a_program_takes_its_neighbours_too() -> None:
    assert widen.apply(KERNEL, move()) == KERNEL[: KERNEL.index("def share")] + GOLDEN


def test_rows_come_first_where_lanes_lie_together() -> None:
    moved = widen.apply(KERNEL, move(0, last=False))
    assert "n = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]\n" in moved
    assert "lane = tl.arange(0, B)[None, :]\n" in moved
    assert "weighed = tl.zeros((ROWS, B), dtype=tl.float32)\n" in moved
    assert "share = tl.sum(weighed, 1, keep_dims=True) / total\n" in moved


def test_a_grid_by_a_function_keeps_what_follows_from_the_config() -> None:
    text = KERNEL.replace("grid = (N, P)", "grid = lambda meta: (N, triton.cdiv(P, 1))")
    moved = widen.apply(text, move())
    assert "programs = triton.cdiv(P, 1)\n" in moved
    assert "share[lambda meta: (N, programs // rows)](x" in moved
    text = KERNEL.replace("share[grid]", "share[N, P]").replace("        grid = (N, P)\n", "")
    assert "share[(N, programs // rows)](x" in widen.apply(text, move())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("range(0, C, B)", "range(pixel, C, B)", "steps of a loop"),
        ("    if C > 1:\n", "    if pixel > 1:\n", "a branch depends"),
        ("    lane = tl.arange(0, B)\n", "    lane = tl.arange(0, B)[:, None]\n", "can read"),
        ("    lane = tl.arange(0, B)\n", "    lane = helper(B)\n", "element by element"),
        ("total += tl.sum(tl.exp(x - top))", "total += tl.sum(tl.cumsum(x, 0))", "no vector"),
        ("total += tl.sum(tl.exp(x - top))", "total += tl.sum(b)", "of the program's own"),
        ("tl.sum(weighed, 0)", "tl.sum(weighed, -1)", "element by element"),
        ("    top = -float", "    top = C\n    top = -float", "starts as one"),
        ("tl.store(top_ptr + n * P + pixel, top)", "tl.store(top_ptr, top)", "one place"),
        ("    if n >= N or pixel >= P:\n", "    if n >= N or pixel == tl.load(b_ptr):\n",
         "more than compare"),
        ("    if n >= N or pixel >= P:\n", "    if n >= N and pixel >= P:\n", "no comparison"),
        ("n * P + pixel, top)", "n * P + pixel, top, pixel < P)", "by position"),
        ("    n = tl.program_id(0)\n", "    n = tl.program_id(N)\n", "no plain number"),
        ("grid = (N, P)\n", "grid = (N, P)\n        P = P + 0\n", "size of the grid"),
        ("        grid = (N, P)\n", "        grid = tuple([N, P])\n", "no tuple"),
        ("        grid = (N, P)\n", "        grid = lambda meta: (N, triton.cdiv(P, meta['B']))\n",
         "follows from the config"),
        ("share[grid](x", "z = 0; share[grid](x", "lines of its own"),
        ("B: tl.constexpr):", "*, B: tl.constexpr):", "plain parameters"),
    ],
)  # fmt: skip
def test_what_is_more_than_one_small_result_is_refused(old: str, new: str, why: str) -> None:
    assert old in KERNEL
    with pytest.raises(DoesNotApply, match=why):
        widen.apply(KERNEL.replace(old, new, 1), move())


def test_an_axis_that_the_kernel_does_not_ask_for_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="along axis 2"):
        widen.apply(KERNEL, move(2))


def test_it_is_found_where_programs_are_small_and_many() -> None:
    calls = rewriting.traced(KERNEL, rewriting.problem([(64, 24, 1024), (24,)]))[1]
    assert found(widen.NAME, KERNEL, calls) == (move(rows=64),)
    for shape in [(2, 24, 64), (64, 24, 1022)]:  # few, and a number that nothing divides
        calls = rewriting.traced(KERNEL, rewriting.problem([shape, (24,)]))[1]
        names = [one.argument("axis") for one in found(widen.NAME, KERNEL, calls)]
        assert 1 not in names
    large = KERNEL.replace("B=16", "B=512")
    calls = rewriting.traced(large, rewriting.problem([(64, 24, 1024), (24,)]))[1]
    assert found(widen.NAME, large, calls) == ()


@pytest.mark.triton
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", slow_but([(8, 20, 8)], [(8, 20, 8), (3, 5, 7), (1, 16, 16)]))
def test_the_results_stay(shape: tuple[int, int, int], axis: int, last: bool) -> None:
    """Also where the number of programs is no multiple: then each is what it was."""
    problem = rewriting.problem([shape, (shape[1],)])
    moved = widen.apply(KERNEL, move(axis, 4, last=last))
    for one, other in zip(
        rewriting.outputs(KERNEL, problem), rewriting.outputs(moved, problem), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.triton
def test_programs_that_would_have_ended_write_nothing() -> None:
    text = KERNEL.replace("grid = (N, P)", "grid = (N, P + 3)")
    problem = rewriting.problem([(2, 5, 13), (5,)])
    moved = rewriting.outputs(widen.apply(text, move()), problem)
    for one, other in zip(rewriting.outputs(text, problem), moved, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("last", [False, True])
def test_the_text_compiles(capability: tuple[int, int], last: bool) -> None:
    problem = rewriting.problem([(8, 20, 8), (20,)])
    moved = widen.apply(KERNEL, move(last=last))
    assert rewriting.compile_faults(moved, problem, capability) == []


@pytest.mark.triton
def test_neighbours_share_their_sectors() -> None:
    """The reason for the move: before, each lane reads a sector of its own."""
    problem = rewriting.problem([(8, 32, 256), (32,)])
    sectors = []
    for text in (KERNEL, widen.apply(KERNEL, move(rows=64))):
        (call,) = rewriting.traced(text, problem)[1]
        study = study_kernel(call, call.configs, Subject(text), rewriting.sheet(), RunContext())
        sectors.append(config_counts(call, study.configs[0]).sectors)
    assert sectors[0] is not None
    assert sectors[1] is not None
    assert sectors[1] < 0.3 * sectors[0]


def test_a_grid_of_other_names_than_the_launch_sees_is_refused() -> None:
    host = KERNEL.replace("class Model", "SIZE = 8\nGRID = (2, SIZE)\n\n\nclass Model")
    host = host.replace("share[grid]", "share[GRID]")
    host = host.replace("def forward(self, x, b)", "def forward(self, x, b, SIZE=3)")
    with pytest.raises(DoesNotApply, match="outside a function"):
        widen.apply(host, move())


def test_a_call_of_one_of_two_kernels_is_refused() -> None:
    other = "@triton.jit\ndef other(x_ptr):\n    pass\n\n\nclass Model"
    host = KERNEL.replace("class Model", other)
    host = host.replace("share[grid]", "k = share if N > 1 else other\n        k[grid]")
    with pytest.raises(DoesNotApply, match="one of several kernels"):
        widen.apply(host, move())


def test_a_number_that_a_branch_makes_many_is_refused() -> None:
    many = KERNEL.replace("    if C > 1:\n", "    k = 0\n    if C > 1:\n        k = pixel\n")
    with pytest.raises(DoesNotApply, match="starts as one value"):
        widen.apply(many.replace("pixel, share)", "pixel, share + k)"), move())
