"""split-rows: what it writes, when it refuses, and that results keep all but their order."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import found
from warpwright.proposers.rewrites.split_rows import split_rows
from warpwright.types.candidate import Claim, Move

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


"""
PRODUCT = """\
@triton.jit
def mv(a_ptr, x_ptr, y_ptr, M, K, stride, R: tl.constexpr, B: tl.constexpr):
    # rows of this program
    row = tl.program_id(0) * R + tl.arange(0, R)
    lane = tl.arange(0, B)
    # where the first step reads
    at = a_ptr + row[:, None] * stride + lane[None, :]
    ok = row < M
    acc = tl.zeros((R,), dtype=tl.float32)
    # all columns
    for k in range(0, tl.cdiv(K, B)):
        inside = k * B + lane < K
        a = tl.load(at, mask=ok[:, None] & inside[None, :], other=0.0)
        x = tl.load(x_ptr + k * B + lane, mask=inside, other=0.0)
        acc += tl.sum(a * x[None, :], axis=1)
        at += B
    # the results
    tl.store(y_ptr + row, acc, mask=ok)


class ModelNew(nn.Module):
    def forward(self, a, x):
        M, K = a.shape
        y = torch.empty((M,), device=a.device)
        R = 8
        R = min(R, triton.next_power_of_2(M))
        mv[(triton.cdiv(M, R),)](a, x, y, M, K, a.stride(0), R=R, B=16)
        return y
"""
GOLDEN = """\
@triton.jit
def mv(a_ptr, x_ptr, y_ptr, M, K, stride, R: tl.constexpr, B: tl.constexpr, acc_parts, \
PARTS: tl.constexpr):
    # rows of this program
    row = tl.program_id(0) * R + tl.arange(0, R)
    lane = tl.arange(0, B)
    # where the first step reads
    at = a_ptr + row[:, None] * stride + lane[None, :]
    ok = row < M
    acc = tl.zeros((R,), dtype=tl.float32)
    # Each program does its part of the steps.
    part = tl.program_id(1)
    steps = tl.cdiv(K, B)
    each = tl.cdiv(steps, PARTS)
    first = tl.minimum(part * each, steps)
    at += first.to(tl.int64) * B
    acc = tl.zeros((R,), dtype=tl.float32)
    # all columns
    for k in range(first, tl.minimum(first + each, steps)):
        inside = k * B + lane < K
        a = tl.load(at, mask=ok[:, None] & inside[None, :], other=0.0)
        x = tl.load(x_ptr + k * B + lane, mask=inside, other=0.0)
        acc += tl.sum(a * x[None, :], axis=1)
        at += B
    # the results
    program = tl.program_id(0).to(tl.int64)
    tl.store(acc_parts + (program * PARTS + part) * R + tl.arange(0, R), acc)


@triton.jit
def mv_total(a_ptr, x_ptr, y_ptr, M, K, stride, R: tl.constexpr, B: tl.constexpr, acc_parts, \
PARTS: tl.constexpr):
    # rows of this program
    row = tl.program_id(0) * R + tl.arange(0, R)
    ok = row < M
    acc = tl.zeros((R,), dtype=tl.float32)
    # The parts of each total, always in the same order.
    program = tl.program_id(0).to(tl.int64)
    for part in tl.static_range(PARTS):
        acc += tl.load(acc_parts + (program * PARTS + part) * R + tl.arange(0, R))
    # the results
    tl.store(y_ptr + row, acc, mask=ok)


class ModelNew(nn.Module):
    def forward(self, a, x):
        M, K = a.shape
        y = torch.empty((M,), device=a.device)
        R = 8
        R = min(R, triton.next_power_of_2(M))
        # 4 programs share the steps of one, and a second kernel adds up their parts.
        acc_parts = torch.empty((triton.cdiv(M, R), 4, R), device=a.device, dtype=torch.float32)
        mv[(triton.cdiv(M, R), 4)](
            a,
            x,
            y,
            M,
            K,
            a.stride(0),
            R=R,
            B=16,
            acc_parts=acc_parts,
            PARTS=4,
        )
        mv_total[(triton.cdiv(M, R),)](
            a,
            x,
            y,
            M,
            K,
            a.stride(0),
            R=R,
            B=16,
            acc_parts=acc_parts,
            PARTS=4,
        )
        return y
"""
MOMENTS = '''\
@triton.jit
def moments(x_ptr, mean_ptr, top_ptr, N, L, eps, B: tl.constexpr = 16):
    """The mean and the largest of each row."""
    n = tl.program_id(0)
    m = tl.program_id(1)
    if n >= N:
        return
    row = n * tl.cdiv(256, 128) + m
    total = 0.0
    squares = 1.5
    top = float("-inf")
    for first in range(2, L, B):
        at = first + tl.arange(0, B)
        x = tl.load(x_ptr + row * L + at, mask=at < L, other=0.0)
        y = tl.load(x_ptr + row * L + at, mask=at < L, other=float("-inf"))
        total = tl.sum(x, axis=0) + total
        if L > 3:
            squares += tl.sum(x * x)
        top = tl.maximum(top, tl.max(y))
    mean = total / L
    spread = tl.sqrt(squares / L + eps)
    if L > 5:
        mean = mean * 2.0
    tl.store(mean_ptr + row, mean / spread)
    tl.store(top_ptr + row, top)


class ModelNew(nn.Module):
    def forward(self, x):
        N, M, L = x.shape
        mean = torch.empty((N, M), device=x.device)
        top = torch.empty((N, M), device=x.device)
        grid = (N + 1, M)
        moments[grid](x, mean, top, N, L, 1e-5)
        return mean, top
'''
TILES = """\
@triton.jit
def columns(x_ptr, o_ptr, K, C, R: tl.constexpr, B: tl.constexpr):
    c = tl.program_id(0) * B + tl.arange(0, B)
    r = tl.arange(0, R)
    acc = tl.zeros((R, B), dtype=tl.float32)
    for k in range(0, K, R):
        ok = (k + r < K)[:, None] & (c < C)[None, :]
        acc += tl.load(x_ptr + (k + r)[:, None] * C + c[None, :], mask=ok, other=0.0)
    tl.store(o_ptr + c, tl.sum(acc, axis=0), mask=c < C)


@triton.jit
def other(x_ptr, o_ptr, K, C, R: tl.constexpr, B: tl.constexpr):
    pass


class ModelNew(nn.Module):
    def forward(self, x):
        K, C = x.shape
        o = torch.zeros((C,), device=x.device)
        kernel = columns if C > 1 else other
        grid = lambda meta: (triton.cdiv(C, meta["B"]),)
        kernel[grid](x, o, K, C, R=4, B=16)
        return o
"""
TUNED = (
    PRODUCT.replace(
        "@triton.jit\n",
        """\
@triton.autotune(
    configs=[
        triton.Config({"R": 16, "B": 16}, num_warps=2),
        triton.Config({"B": 32, "R": 8}, num_warps=4, num_stages=2),
    ],
    key=["M", "K"],
)
@triton.jit
""",
    )
    .replace("        R = 8\n        R = min(R, triton.next_power_of_2(M))\n", "")
    .replace(
        "        mv[(triton.cdiv(M, R),)](",
        "        mv[lambda meta: (triton.cdiv(M, meta['R']),)](",
    )
    .replace(", R=R, B=16)", ")")
)
FORMS: dict[str, tuple[str, str, str, list[tuple[int, ...]]]] = {
    "matrix times vector": (HEAD + PRODUCT, "mv", "a_ptr", [(21, 300), (300,)]),
    "moments": (HEAD + MOMENTS, "moments", "x_ptr", [(3, 2, 333)]),
    "one of two kernels": (HEAD + TILES, "columns", "x_ptr", [(131, 20)]),
}


def move(kernel: str = "mv", tensor: str = "a_ptr", parts: int = 4) -> Move:
    arguments = (("parts", parts), ("tensor", tensor))
    return Move(split_rows.NAME, kernel, arguments, Claim.SAME_SUM)


def test_programs_share_the_steps_and_a_second_kernel_adds_up_their_parts() -> None:
    assert split_rows.apply(HEAD + PRODUCT, move()) == HEAD + GOLDEN


def test_each_total_starts_from_nothing_in_a_part_and_from_its_start_behind_them() -> None:
    moved = split_rows.apply(HEAD + MOMENTS, move("moments", "x_ptr"))
    one, two = moved.split("def moments_total(")
    assert '    top = tl.full((), float("-inf"), dtype=tl.float32)\n' in one
    assert "    steps = tl.cdiv(L - 2, B)\n" in one
    assert "range(2 + first_ * B, 2 + tl.minimum(first_ + each, steps) * B, B):" in one
    assert "    squares = 1.5\n" in two
    assert "        top = tl.maximum(top, tl.load(top_parts + program * PARTS + part))\n" in two
    number = "(tl.program_id(0) + tl.num_programs(0) * tl.program_id(1)).to(tl.int64)"
    assert f"    program = {number}\n" in one
    assert f"    program = {number}\n" in two


CONFIG = ("config", 'triton.Config({"B": 32, "R": 8}, num_warps=4, num_stages=2)')


def test_of_a_tuner_one_config_stays() -> None:
    moved = split_rows.apply(HEAD + TUNED, tuned())
    assert "autotune" not in moved
    assert "torch.empty((triton.cdiv(M, 8), 4, 8), device=a.device, dtype=torch.float32)" in moved
    assert moved.count("            B=32,\n            R=8,\n            num_warps=4,\n") == 2
    calls = rewriting.traced(HEAD + TUNED, rewriting.problem([(128, 100_000), (100_000,)]))[1]
    assert found(split_rows.NAME, HEAD + TUNED, calls) == (tuned(32),)


def tuned(parts: int = 4) -> Move:
    plain = move(parts=parts)
    return Move(plain.name, plain.kernel, (*plain.arguments, CONFIG), plain.claim)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("@triton.jit\n", "@triton.heuristics({})\n@triton.jit\n", "other decorators"),
        (
            "        return y\n",
            "        print(mv.best_config)\n        return y\n",
            "asks the tuner",
        ),
        ("a.stride(0))", "a.stride(0), num_warps=2)", "what the tuner chooses"),
        ("a.stride(0))", "*[a.stride(0)])", "splatted"),
    ],
)
def test_a_tuner_that_is_more_than_a_list_stays(old: str, new: str, why: str) -> None:
    assert TUNED.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        split_rows.apply(HEAD + TUNED.replace(old, new), tuned())


@pytest.mark.triton
def test_the_results_of_a_tuned_kernel_stay() -> None:
    problem = rewriting.problem([(21, 300), (300,)])
    moved = split_rows.apply(HEAD + TUNED, tuned())
    assert rewriting.compile_faults(moved, problem, (9, 0)) == []
    one, other = rewriting.outputs(HEAD + PRODUCT, problem), rewriting.outputs(moved, problem)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-5)


def test_a_call_of_one_of_several_kernels_asks_which() -> None:
    moved = split_rows.apply(HEAD + TILES, move("columns", "x_ptr"))
    assert "        if kernel is columns:\n" in moved
    assert "            columns[(triton.cdiv(C, 16), 4)](x, o, " in moved
    assert "        else:\n            other[grid](x, o, K, C, R=4, B=16)\n" in moved


def test_a_kernel_that_the_host_does_not_name_is_refused() -> None:
    text = (HEAD + TILES).replace("columns if C > 1 else other", "(columns, other)[C > 1]")
    text = text.replace("kernel[grid]", "(columns if C > 1 else other)[grid]")
    with pytest.raises(DoesNotApply, match="does not say which kernel"):
        split_rows.apply(text, move("columns", "x_ptr"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("        at += B\n", "        at += k\n", "is no total"),
        ("        at += B\n", "        at = at + B\n", "is no total"),
        ("        at += B\n", "        at += B\n        acc *= 2.0\n", "is no total"),
        ("        at += B\n", "        at += B\n        tl.store(y_ptr + row, acc)\n",
         "before the loop ends"),
        ("        at += B\n", "        at += helper(B)\n", "is no total"),
        ("acc, mask=ok)", "acc + k, mask=ok)", "counter of the loop"),
        ("acc, mask=ok)", "acc + last, mask=ok)", "no total"),
        ("    # the results\n", "    for i in range(3):\n        acc += 1.0\n", "one `for` loop"),
        ("    # the results\n", "    if K > 3:\n        return\n", "plain statements"),
        ("    # the results\n", "    tl.atomic_add(y_ptr, 1.0)\n", "done twice"),
        ("    # the results\n", "    acc = acc * tl.num_programs(0)\n", "how many programs"),
        ("    # the results\n", "    acc = acc * tl.program_id(1)\n", "along another axis"),
        ("    # the results\n    tl.store(y_ptr + row, acc, mask=ok)\n", "", "nothing follows"),
        ("range(0, tl.cdiv(K, B))", "range(0, K, stride)", "may not be positive"),
        ("range(0, tl.cdiv(K, B))", "tl.static_range(0, 8)", "counts no range"),
        ("range(0, tl.cdiv(K, B))", "tl.range(0, K, step=B)", "names its bounds"),
        ("    acc = tl.zeros((R,), dtype=tl.float32)\n",
         "    acc = tl.zeros((R,), dtype=tl.float16)\n", "may be no float32"),
        ("    acc = tl.zeros((R,), dtype=tl.float32)\n",
         "    acc = tl.trans(tl.load(x_ptr + row * M))\n", "the shape of acc|no float32"),
        ("        mv[(triton", "        z = 0; mv[(triton", "lines of its own"),
        ("        mv[(triton", "        z = mv[(triton", "a statement of its own"),
        ("(a, x, y, M, K", "(a.view(M, K), x, y, M, K", "no name for a_ptr"),
        ("a.stride(0)", "strides.pop()", "more than say a value"),
        ("R=R, B=16)", "B=16, **{'R': R})", "splatted|does not say"),
        ("mv[(triton.cdiv(M, R),)]", "mv[(triton.cdiv(M, R), 1, 1)]", "no axis left"),
        ("B: tl.constexpr):", "*, B: tl.constexpr):", "plain parameters"),
        ("@triton.jit\n", "@triton.autotune([triton.Config({'B': 16})], key=['K'])\n@triton.jit\n",
         "not the launch's own"),
    ],
)  # fmt: skip
def test_what_is_more_than_totals_of_one_loop_is_refused(old: str, new: str, why: str) -> None:
    text = HEAD + PRODUCT
    assert text.count(old) == 1, old
    text = text.replace(old, new)
    if "last" in new:
        text = text.replace("        at += B\n", "        last = k\n        at += B\n")
    with pytest.raises(DoesNotApply, match=why):
        split_rows.apply(text, move())


def test_it_is_found_where_programs_are_few_and_steps_are_many() -> None:
    text = HEAD + PRODUCT
    for shape, parts in [((128, 100_000), 32), ((32, 100_000), 64), ((1600, 100_000), 2)]:
        calls = rewriting.traced(text, rewriting.problem([shape, (shape[1],)]))[1]
        assert found(split_rows.NAME, text, calls) == (move(parts=parts),)
    for shape in [(4096, 100_000), (128, 200)]:
        calls = rewriting.traced(text, rewriting.problem([shape, (shape[1],)]))[1]
        assert found(split_rows.NAME, text, calls) == ()


@pytest.mark.triton
@pytest.mark.parametrize("form", slow_but(["matrix times vector", "moments"], FORMS))
def test_the_results_stay(form: str) -> None:
    """Also where parts get fewer steps than others, or none."""
    text, kernel, tensor, shapes = FORMS[form]
    problem = rewriting.problem(shapes)
    before = rewriting.outputs(text, problem)
    for parts in (3, 64):
        moved = split_rows.apply(text, move(kernel, tensor, parts))
        for one, other in zip(before, rewriting.outputs(moved, problem), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_compiles(form: str, capability: tuple[int, int]) -> None:
    text, kernel, tensor, shapes = FORMS[form]
    moved = split_rows.apply(text, move(kernel, tensor))
    assert rewriting.compile_faults(moved, rewriting.problem(shapes), capability) == []
