"""join: what it writes, when it refuses, that no bit changes, and what it is for."""

from __future__ import annotations

import random

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.costmodel.launch_counts import config_counts
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.join import join_rewrite as join
from warpwright.proposers.rewrites.registry import found
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scale(x_ptr, y_ptr, C: tl.constexpr, D: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
          sc: tl.constexpr, sd: tl.constexpr, sh: tl.constexpr, sw: tl.constexpr,
          P: tl.constexpr, Q: tl.constexpr):
    p = tl.program_id(0) * P + tl.arange(0, P)
    c = tl.arange(0, Q)
    HW = H * W
    rem = p % HW
    d = p // HW
    h = rem // W
    rem = rem - h * W
    ok = (p < D * HW)[:, None] & (c < C)[None, :]
    base = d * sd + h * sh + rem * sw
    x = tl.load(x_ptr + c[None, :] * sc + base[:, None], mask=ok, other=0.0)
    plane = d * HW + h * W
    tl.store(
        y_ptr
        + c[None, :] * (D * HW)
        + plane[:, None] + rem[:, None],
        x * 2.0,
        mask=ok,
    )


class ModelNew(nn.Module):
    def forward(self, x):
        C, D, H, W = x.shape
        y = torch.empty((C, D, H, W), device=x.device)
        grid = (triton.cdiv(D * H * W, 32),)
        scale[grid](x, y, C, D, H, W, *x.stride(), P=32, Q=16)
        return y
"""
EQUAL = ("sd == H * sh", "sh == W * sw")
MOVE = Move(join.NAME, "scale", (("equal", EQUAL),), Claim.BIT_EQUAL)
GOLDEN = """\
    base_at = p * sw if sd == H * sh and sh == W * sw else d * sd + h * sh + rem * sw
    base = base_at
    x = tl.load(x_ptr + c[None, :] * sc + base[:, None], mask=ok, other=0.0)
    plane = d * HW + h * W
    run_at = p
    tl.store(
        y_ptr
        + c[None, :] * (D * HW) + run_at[:, None],
        x * 2.0,
        mask=ok,
    )
"""
BODY = KERNEL[KERNEL.index("    base = d") : KERNEL.index("\n\nclass")]
NOTHING = Move(join.NAME, "scale", (("equal", ()),), Claim.BIT_EQUAL)


def test_what_is_taken_apart_and_put_together_again_stays_whole() -> None:
    assert join.apply(KERNEL, MOVE) == KERNEL.replace(BODY, GOLDEN)


def test_only_strides_that_are_named_equal_are_joined() -> None:
    rows = Move(join.NAME, "scale", (("equal", EQUAL[1:]),), Claim.BIT_EQUAL)
    moved = join.apply(KERNEL, rows)
    assert "base_at = (p % (H * W)) * sw if sh == W * sw else h * sh + rem * sw\n" in moved
    assert "base = d * sd + base_at\n" in moved
    assert "    base = d * sd + h * sh + rem * sw\n" in join.apply(KERNEL, NOTHING)


def test_it_is_done_once() -> None:
    with pytest.raises(DoesNotApply, match="no digits of a vector"):
        join.apply(join.apply(KERNEL, MOVE), MOVE)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("    rem = rem - h * W\n", "    rem = rem - d * W\n", "base = d * sd + h * sh + rem"),
        ("    rem = rem - h * W\n", "    rem = rem - h * H\n", "base = d * sd + h * sh + rem"),
        ("    base = d * sd", "    p = p + 1\n    base = d * sd", "base = d * sd"),
        ("    base = d", "    if C > 1:\n        h = h + 1\n    base = d", "base = d * sd"),
        ("rem * sw\n", "rem * sw; z = base\n", "base = base_at; z = base"),
        ("base = d * sd", "z = 1; base = d * sd", "z = 1; base = d * sd + h"),
        ("base = d * sd + h * sh + rem * sw", "base = -d * sd + h * sh - rem * sw", "- rem * sw"),
        ("W: tl.constexpr,", "W,", "base = d * sd"),
    ],
)  # fmt: skip
def test_what_may_be_another_number_stays(old: str, new: str, kept: str) -> None:
    assert KERNEL.count(old) == 1
    text = KERNEL.replace(old, new)
    try:
        moved = join.apply(text, MOVE)
    except DoesNotApply:
        moved = text
    assert kept in moved


def test_numbers_of_the_block_are_left_alone() -> None:
    text = KERNEL.replace(" + tl.arange(0, P)\n", "\n").replace("[:, None]", "")
    with pytest.raises(DoesNotApply, match="no digits of a vector"):
        join.apply(text, MOVE)


def test_it_is_found_with_the_strides_of_the_launch() -> None:
    calls = rewriting.traced(KERNEL, rewriting.problem([(5, 3, 4, 7)]))[1]
    assert found(join.NAME, KERNEL, calls) == (MOVE,)
    turned = KERNEL.replace("y = torch", "x = x.transpose(1, 2)\n        y = torch")
    calls = rewriting.traced(turned, rewriting.problem([(5, 3, 4, 7)]))[1]
    assert found(join.NAME, turned, calls) == (NOTHING,)


@pytest.mark.triton
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", slow_but([(5, 3, 4, 7)], [(5, 3, 4, 7), (16, 1, 8, 8)]))
def test_no_bit_changes(shape: tuple[int, ...], turned: bool) -> None:
    """Also where the strides are others: the condition is in the code."""
    text = KERNEL
    if turned:
        text = KERNEL.replace("y = torch", "x = x.transpose(2, 3).contiguous().transpose(2, 3)\n"
                              "        y = torch")  # fmt: skip
    problem = rewriting.problem([shape])
    outputs = [rewriting.outputs(t, problem)[0] for t in (text, join.apply(text, MOVE))]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("seed", range(20))
def test_each_address_is_that_of_the_same_element(seed: int) -> None:
    """Sums of digits drawn at random, evaluated in 32 bits before and after."""
    draw = random.Random(seed)
    sizes = {name: draw.randrange(1, 9) for name in "DHW"}
    strides = {"sw": draw.randrange(1, 5)}
    strides["sh"] = sizes["W"] * strides["sw"] + draw.choice([0, 0, 3])
    strides["sd"] = sizes["H"] * sizes["W"] * strides["sw"] + draw.choice([0, 0, 5])
    last = draw.choice(["rem - h * W", "rem % W", "p - p // W * W", "p % W", "rem % W % W"])
    middle = draw.choice(["rem // W", "p // W % H", "p % HW // W", "(p - d * HW) // W"])
    before = KERNEL.replace("rem - h * W", last).replace("h = rem // W", f"h = {middle}")
    if middle != "rem // W":  # `rem - h * W` says how h was taken, the others do not
        before = before.replace("rem - h * W", "rem % W")
    results = []
    for text in (before, join.apply(before, MOVE)):
        lines = text[text.index("    HW = ") : text.index("    x = tl.load")].splitlines()
        p = np.arange(-40, 900, dtype=np.int32)
        names: dict[str, object] = {**sizes, **strides, "p": p, "C": 3, "c": np.arange(2)}
        exec("\n".join(line[4:] for line in lines if "ok =" not in line), names)
        results.append(names["base"])
    np.testing.assert_array_equal(*results)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(5, 3, 4, 7)])
    assert rewriting.compile_faults(join.apply(KERNEL, MOVE), problem, capability) == []


@pytest.mark.triton
def test_the_compiler_sees_that_lanes_lie_together() -> None:
    """The reason for the move: a fraction of the sectors, as lanes go along memory."""
    problem = rewriting.problem([(16, 8, 30, 31)])
    sectors = []
    for text in (KERNEL, join.apply(KERNEL, MOVE)):
        (call,) = rewriting.traced(text, problem)[1]
        study = study_kernel(call, call.configs, Subject(text), rewriting.sheet(), RunContext())
        sectors.append(config_counts(call, study.configs[0]).sectors)
    assert sectors[0] is not None
    assert sectors[1] is not None
    assert sectors[1] < 0.6 * sectors[0]
