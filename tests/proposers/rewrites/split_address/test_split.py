"""split: what it writes, when it refuses, that no bit changes, and what it saves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rewriting

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.costmodel.launch_counts import config_counts
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import chains, found, replay
from warpwright.proposers.rewrites.split_address import apart_rewrite as apart
from warpwright.store.run_context import RunContext
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import TensorArgument

KERNEL = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def window(x_ptr, w_ptr, y_ptr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr,
           F: tl.constexpr, P: tl.constexpr, M: tl.constexpr, N: tl.constexpr, T: tl.constexpr):
    place = tl.program_id(0) * M + tl.arange(0, M)
    filter = tl.arange(0, N)
    top = place // W - P
    left = place % W - P
    total = tl.zeros((M, N), dtype=tl.float32)
    for first in range(0, C * K * K, T):
        tap = first + tl.arange(0, T)
        c = tap // (K * K)
        r = tap // K % K
        s = tap % K
        down = top[:, None] + r[None, :]
        along = left[:, None] + s[None, :]
        # Offsets in the image.
        at = (c[None, :] * H + down) * W + along

        inside = (down >= 0) & (down < H) & (along >= 0) & (along < W)
        x = tl.load(x_ptr + at, mask=inside & (tap < C * K * K)[None, :], other=0.0)
        w = tl.load(
            w_ptr + filter[None, :] * (C * K * K) + tap[:, None],
            mask=(filter < F)[None, :] & (tap < C * K * K)[:, None],
            other=0.0,
        )
        total += tl.dot(x, w)
    tl.store(
        y_ptr + (filter[None, :] * H + (place // W)[:, None]) * W + (place % W)[:, None],
        total,
        mask=(place < H * W)[:, None] & (filter < F)[None, :],
    )


class ModelNew(nn.Module):
    def __init__(self, channels, filters, side):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, side, side))

    def forward(self, x):
        C, H, W = x.shape
        F, _, K, _ = self.weight.shape
        y = torch.empty((F, H, W), device=x.device)
        window[(triton.cdiv(H * W, 64),)](
            x, self.weight, y, H, W, C=C, K=K, F=F, P=K // 2, M=64, N=16, T=16
        )
        return y
"""
GOLDEN = (
    ("        at = (c[None, :] * H + down) * W + along\n\n", "\n"),
    ("        x = tl.load(x_ptr + at, mask=inside & (tap < C * K * K)[None, :], other=0.0)\n",
     """\
        x = tl.load((
            x_ptr
            + (
                top[:, None] * W + left[:, None]
                + (c[None, :] * H * W + r[None, :] * W + s[None, :])
            )
        ), mask=inside & (tap < C * K * K)[None, :], other=0.0)
"""),
    ("        y_ptr + (filter[None, :] * H + (place // W)[:, None]) * W + (place % W)[:, None],\n",
     "        y_ptr + (((place // W)[:, None] * W + (place % W)[:, None]) "
     "+ filter[None, :] * H * W),\n"),
)  # fmt: skip
POINTERS = ("w_ptr", "x_ptr", "y_ptr")
MOVE = Move(apart.NAME, "window", (("pointers", POINTERS),), Claim.BIT_EQUAL)


def _golden() -> str:
    text = KERNEL
    for before, after in GOLDEN:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def _problem(height: int, width: int, side: int = 3):  # type: ignore[no-untyped-def]
    return rewriting.problem([(4, height, width)], [4, 9, side])


def test_rows_and_columns_are_added_up_apart() -> None:
    assert apart.apply(KERNEL, MOVE) == _golden()


def test_what_is_in_parts_is_left_alone() -> None:
    with pytest.raises(DoesNotApply, match="not in parts"):
        apart.apply(_golden(), MOVE)


def test_names_that_others_read_stay() -> None:
    read = KERNEL.replace(
        "        w = tl.load(\n", "        total += at * 0\n        w = tl.load(\n"
    )
    assert "        at = (c[None, :] * H + down) * W + along\n" in apart.apply(read, MOVE)


def test_a_transposed_load_stays_transposed() -> None:
    turned = KERNEL.replace("tl.load(x_ptr + at,", "tl.load(tl.trans(x_ptr + at),")
    text = apart.apply(turned, MOVE)
    assert "tl.load(tl.trans((\n            x_ptr\n            + (\n                top[" in text


def test_an_index_that_is_taken_off_keeps_its_sign() -> None:
    less = KERNEL.replace("top[:, None] + r[None, :]", "top[:, None] - (r[None, :] - P)")
    text = apart.apply(less, MOVE)
    assert "(c[None, :] * H * W + s[None, :] - (r[None, :] - P) * W)" in text


LOAD = "        at = (c[None, :] * H + down) * W + along\n"
STORE = GOLDEN[2][0]


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("        at = tl.where(down > 0, (c[None, :] * H + down) * W + along, 0)\n", "no sum"),
        ("        at = (c[None, :] * H + down) * top[:, None] + along\n", "no sum"),
        ("        at = (c[None, :] * H + down) * W + along // 2\n", "no sum"),
        ("        at = (c.to(tl.int64)[None, :] * H + down) * W + along\n", "int64"),
        ("        at = (tl.load(w_ptr + c)[None, :] * H + down) * W + along\n", "memory"),
        ("        at = along\n        at += down * W\n", "several values"),
        ("        at = y_ptr + (c[None, :] * H + down) * W + along\n", "one pointer"),
    ],
)
def test_what_is_no_sum_of_rows_and_columns_is_refused(new: str, why: str) -> None:
    text = KERNEL.replace(LOAD, new).replace(STORE, "        y_ptr + along,\n")
    text = text.replace("        y_ptr + along,\n", "        y_ptr + place,\n")
    with pytest.raises(DoesNotApply, match=why):
        apart.apply(text, MOVE)


def test_a_number_that_a_loop_changes_is_not_looked_through() -> None:
    text = KERNEL.replace(LOAD, LOAD + "        top += 0\n")
    with pytest.raises(DoesNotApply, match="at may have several values"):
        apart.apply(text.replace(STORE, "        y_ptr + place,\n"), MOVE)


def test_a_move_of_other_pointers_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="no parameter z_ptr"):
        apart.apply(KERNEL, replace(MOVE, arguments=(("pointers", ("z_ptr",)),)))


def _enlarged(call: KernelCalls, shape: tuple[int, ...]) -> KernelCalls:
    (launch,) = call.launches
    tensor = launch.arguments["x_ptr"]
    assert isinstance(tensor, TensorArgument)
    strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    larger = replace(tensor, shape=shape, strides=strides)
    return replace(
        call, launches=(replace(launch, arguments={**launch.arguments, "x_ptr": larger}),)
    )


def test_tensors_that_32_bits_barely_count_are_left_alone() -> None:
    _, (call,) = rewriting.traced(KERNEL, _problem(9, 12))
    assert found(apart.NAME, KERNEL, [call]) == (MOVE,)
    assert found(apart.NAME, KERNEL, [_enlarged(call, (2**20, 2031))]) == (MOVE,)
    assert found(apart.NAME, KERNEL, [_enlarged(call, (2**20, 2040))]) == ()


def test_the_move_is_a_chain_of_its_own_and_replays() -> None:
    view, calls = rewriting.traced(KERNEL, _problem(9, 12))
    ways = chains(view, calls)
    assert (MOVE,) in [way[-1:] for way in ways]
    for way in ways:
        assert replay(KERNEL, way) == replay(KERNEL, list(way))


@pytest.mark.triton
@pytest.mark.parametrize(("height", "width", "side"), [(9, 12, 3), (8, 8, 1), (7, 33, 5)])
def test_no_bit_changes(height: int, width: int, side: int) -> None:
    problem = _problem(height, width, side)
    before, after = (
        rewriting.outputs(text, problem) for text in (KERNEL, apart.apply(KERNEL, MOVE))
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    moved = apart.apply(KERNEL, MOVE)
    assert rewriting.compile_faults(moved, _problem(9, 12), capability) == []


@pytest.mark.triton
def test_fewer_instructions_reach_the_same_sectors() -> None:
    problem = _problem(64, 60, 5)
    counts = []
    for text in (KERNEL, apart.apply(KERNEL, MOVE)):
        (call,) = rewriting.traced(text, problem)[1]
        study = study_kernel(call, call.configs, Subject(text), rewriting.sheet(), RunContext())
        counts.append(config_counts(call, study.configs[0]))
    before, after = counts
    assert before.instructions is not None
    assert after.instructions is not None
    assert after.instructions < 0.97 * before.instructions
    assert after.sectors == before.sectors
