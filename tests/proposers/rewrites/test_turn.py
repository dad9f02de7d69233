"""turn: what it writes, when it refuses, that no bit changes, and what it is for."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rewriting

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.costmodel.launch_counts import config_counts
from warpwright.proposers.rewrites import turn
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import chains, found, replay
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Claim, Move

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mix(x_ptr, w_ptr, y_ptr, P, F, C: tl.constexpr, T: tl.constexpr, M: tl.constexpr,
        N: tl.constexpr):
    pixel = tl.program_id(0) * M + tl.arange(0, M)
    filter = tl.program_id(1) * N + tl.arange(0, N)
    pixel_ok = pixel[:, None] < P
    sum = tl.zeros((M, N), dtype=tl.float32)
    for c in range(C):
        at = pixel[:, None] + c * (P + T - 1)
        for t in tl.static_range(0, T):
            x = tl.load(x_ptr + at + t, mask=pixel_ok, other=0.0)
            w = tl.load(w_ptr + filter * (C * T) + c * T + t, mask=filter < F, other=0.0)
            sum += x * w[None, :]  # one tap of one channel
    tl.store(
        y_ptr + filter[None, :] * P + pixel[:, None],
        sum + 1.0,
        mask=pixel_ok & (filter < F)[None, :],
    )


class ModelNew(nn.Module):
    def __init__(self, channels, filters, taps):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, taps))

    def forward(self, x):
        C, length = x.shape
        F, _, T = self.weight.shape
        P = length - T + 1
        y = torch.empty((F, P), device=x.device)
        grid = (triton.cdiv(P, 64), triton.cdiv(F, 32))
        mix[grid](x, self.weight, y, P, F, C=C, T=T, M=64, N=32)
        return y
"""
GOLDEN = """\
    # The tile's other axis is its last one here: the lanes of a warp lie along it.
    sum = tl.trans(sum)
    for c in range(C):
        at = pixel[None, :] + c * (P + T - 1)
        for t in tl.static_range(0, T):
            x = tl.load(x_ptr + at + t, mask=tl.trans(pixel_ok), other=0.0)
            w = tl.load(w_ptr + filter * (C * T) + c * T + t, mask=filter < F, other=0.0)
            sum += x * w[:, None]  # one tap of one channel
    sum = tl.trans(sum)
"""
NEST = KERNEL[KERNEL.index("    for c in range(C):") : KERNEL.index("    tl.store(")]
MOVE = Move(turn.NAME, "mix", (("nest", 0),), Claim.BIT_EQUAL)


def test_the_sum_has_its_axes_the_other_way_around() -> None:
    assert turn.apply(KERNEL, MOVE) == KERNEL.replace(NEST, GOLDEN)


def test_a_product_of_vectors_and_the_long_form_of_the_sum() -> None:
    text = KERNEL.replace("sum += x * w[None, :]", "sum = sum + w[None, :] * x")
    assert "sum = sum + w[:, None] * x" in turn.apply(text, MOVE)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("tl.zeros((M, N), dtype=tl.float32)", "start(M, N)", "no tile"),
        ("sum += x * w[None, :]", "sum += x * x", "not of outer products"),
        ("sum += x * w[None, :]", "sum += x * helper(w)[None, :]", "not of outer products"),
        ("            x = tl.load(", "            z = tl.cumsum(at, 0)\n            x = tl.load(",
         "the form of z"),
        ("            x = tl.load(", "            z = tl.sum(at, 0)\n            x = tl.load(",
         "the form of z"),
        ("        sum + 1.0,", "        sum + x,", "x is read behind"),
        ("    sum = tl.zeros(", "    at = pixel[:, None]\n    sum = tl.zeros(", "elsewhere"),
        ("    pixel_ok = pixel[:, None] < P\n", "    pixel_ok = helper(pixel)\n", "not of outer"),
        ("            sum += x", "            x += 0\n            sum += x", "no outer products"),
    ],
)  # fmt: skip
def test_what_may_change_more_than_the_layout_is_refused(old: str, new: str, why: str) -> None:
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        turn.apply(KERNEL.replace(old, new), MOVE)


def test_it_is_turned_once() -> None:
    with pytest.raises(DoesNotApply, match="no tile"):
        turn.apply(turn.apply(KERNEL, MOVE), MOVE)


def test_a_nest_that_is_not_there_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="no outer products"):
        turn.apply(KERNEL, Move(turn.NAME, "mix", (("nest", 1),)))


def test_it_is_found_and_follows_unrolling() -> None:
    view, calls = rewriting.traced(KERNEL, rewriting.problem([(40, 70)], [40, 5, 3]))
    assert found(turn.NAME, KERNEL, calls) == (MOVE,)
    rolled = KERNEL.replace("tl.static_range(0, T)", "range(0, T)")
    for way in chains(rewriting.read_program(rolled), calls):
        assert turn.NAME not in [move.name for move in way][:-1]
    names = {tuple(move.name for move in way) for way in chains(view, calls)}
    assert any(name[-1] == turn.NAME for name in names)


@pytest.mark.triton
def test_lanes_that_are_added_up_behind_it_may_be_in_another_order() -> None:
    text = KERNEL.replace("        sum + 1.0,", "        sum + tl.sum(sum, axis=1)[:, None],")
    assert text != KERNEL
    view, calls = rewriting.traced(text, rewriting.problem([(40, 70)], [40, 5, 3]))
    assert [move.claim for move in turn.find(view, calls)] == [Claim.SAME_SUM]


@pytest.mark.triton
@pytest.mark.parametrize("distribution", ["normal", "wide", "nonfinite"])
@pytest.mark.parametrize("sizes", [(3, 70, 5, 3), (1, 64, 33, 1)])
def test_no_bit_changes(sizes: tuple[int, int, int, int], distribution: str) -> None:
    channels, length, filters, taps = sizes
    problem = rewriting.problem([(channels, length)], [channels, filters, taps])
    before, after = (
        rewriting.outputs(text, problem, distribution=distribution)
        for text in (KERNEL, turn.apply(KERNEL, MOVE))
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(3, 70)], [3, 40, 3])
    moved = replay(KERNEL, [MOVE])
    assert rewriting.compile_faults(moved, problem, capability) == []


@pytest.mark.triton
def test_lanes_along_the_pixels_touch_a_fraction_of_the_sectors() -> None:
    """The reason for the move: before, each lane of a warp loads a filter's weight of its own."""
    problem = rewriting.problem([(24, 4099)], [24, 64, 3])
    sectors = []
    for text in (KERNEL, turn.apply(KERNEL, MOVE)):
        (call,) = rewriting.traced(text, problem)[1]
        study = study_kernel(call, call.configs, Subject(text), rewriting.sheet(), RunContext())
        sectors.append(config_counts(call, study.configs[0]).sectors)
    assert sectors[0] is not None
    assert sectors[1] is not None
    assert sectors[1] < 0.6 * sectors[0]


def test_only_new_axes_and_names_of_two_axes_change() -> None:
    plain = re.sub(r"\[:, None\]|\[None, :\]|tl\.trans\((\w+)\)", r"\1", turn.apply(KERNEL, MOVE))
    lines = [line for line in plain.splitlines() if line.strip() not in
             ("sum = sum", "# The tile's other axis is its last one here: the lanes of a warp lie "
              "along it.")]  # fmt: skip
    assert lines == re.sub(r"\[:, None\]|\[None, :\]", "", KERNEL).splitlines()
