"""repack: the text it writes, what it computes, and when it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but

from warpwright import api
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.proposers.rewrites import registry
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.repack import repack_rewrite as repack
from warpwright.proposers.rewrites.specialise import specialise
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Claim, Move
from warpwright.types.verdict import Status

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


"""
LOAD = """\
        w = tl.load(row + c[None, :] * T + t, mask=(f < F)[:, None] & (c < C)[None, :], other=0.0)
"""
KERNEL = (
    HEAD
    + """\
@triton.jit
def k(x_ptr, w_ptr, y_ptr, C, F, L, T: tl.constexpr, TF: tl.constexpr, TC: tl.constexpr,
      TL: tl.constexpr):
    f = tl.program_id(1) * TF + tl.arange(0, TF)
    at = tl.program_id(0) * TL + tl.arange(0, TL)
    row = w_ptr + f[:, None] * C * T
    parts = tl.cdiv(C, TC)
    acc = tl.zeros((TF, TL), dtype=tl.float32)
    for step in range(0, T * parts):
        t = step // parts
        c = (step % parts) * TC + tl.arange(0, TC)
        x = tl.load(x_ptr + c[:, None] * (L + T - 1) + (at + t)[None, :],
                    mask=(c < C)[:, None] & (at < L)[None, :], other=0.0)
"""
    + LOAD
    + """\
        acc = tl.dot(w, x, acc, input_precision="ieee")
    tl.store(y_ptr + f[:, None] * L + at[None, :], acc,
             mask=(f < F)[:, None] & (at < L)[None, :])


def run(x, weight):
    filters, channels, height, width = weight.shape
    taps = height * width
    length = x.shape[1] - taps + 1
    y = torch.empty((filters, length), device=x.device, dtype=x.dtype)
    k[(triton.cdiv(length, 16), triton.cdiv(filters, 16))](
        x, weight, y, channels, filters, length, T=taps, TF=16, TC=16, TL=16
    )
    return y


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, 3, 2))

    def forward(self, x):
        return run(x, self.weight)
"""
)
NEW = """\
        if W_PACKED:  # the same elements, of a copy in which the lanes lie side by side
            w_at = w_packed_ptr + f[:, None] * (C * T) + t * C + c[None, :]
        else:
            w_at = row + c[None, :] * T + t
        w = tl.load(w_at, mask=(f < F)[:, None] & (c < C)[None, :], other=0.0)
"""
TAIL = "TL: tl.constexpr,\n      w_packed_ptr,\n      W_PACKED: tl.constexpr)"
HOST = """\
    # Permuted in each call: what k loads side by side lies so in memory.
    weight_packed = weight.permute(0, 2, 3, 1).contiguous()
    weight_packed_fits = (
        weight.is_contiguous()
        and weight.shape[1] == channels
        and weight.shape[2] * weight.shape[3] == taps
    )
"""
MOVE = Move(
    repack.NAME,
    "k",
    (("operand", "w_ptr"), ("groups", (1, 1, 2)), ("permutation", (0, 2, 3, 1))),
    Claim.BIT_EQUAL,
)
ON_C = "& (c < C)[None, :], other=0.0)\n        acc"
ROW = "    row = w_ptr + f[:, None] * C * T\n"
SPELLINGS = {
    "as it is": (),
    "an offset of its own": ((LOAD, "        o = c[None, :] * T + t\n" + LOAD), (
        "row + c[None, :] * T + t", "row + o"),
    ),
    "factored": ((ROW, ""), (
        "row + c[None, :] * T + t", "w_ptr + (f[:, None] * C + c[None, :]) * T + t"),
    ),
    "an axis given late": ((LOAD, "        o = c * T + t\n" + LOAD), (
        "row + c[None, :] * T + t", "row + o[None, :]"),
    ),
    "an axis given early": (
        ("+ tl.arange(0, TC)\n", "+ tl.arange(0, TC)\n        cc = c[None, :]\n"),
        ("row + c[None, :] * T + t", "row + cc * T + t"),
        ("& (c < C)[None, :]", "& (cc < C)"),
    ),
    "a remainder": (
        ("& (c < C)[None, :]", "& (tl.program_id(0) >= 0)"),
        ("row + c[None, :] * T", "row + (c % C)[None, :] * T"),
    ),
}  # fmt: skip


def spelled(name: str) -> str:
    source = KERNEL
    for old, new in SPELLINGS[name]:
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def problem(channels: int, filters: int) -> rewriting.Problem:
    return rewriting.problem([(channels, 300)], (channels, filters))


def test_the_load_reads_a_copy_where_the_weight_is_as_the_kernel_thinks() -> None:
    expected = (
        KERNEL.replace(LOAD, NEW)
        .replace(
            "TL: tl.constexpr)",
            "TL: tl.constexpr,\n      w_packed_ptr,\n      W_PACKED: tl.constexpr)",
        )
        .replace("    k[(triton", HOST + "    k[(triton")
        .replace("TL=16\n", "TL=16, w_packed_ptr=weight_packed, W_PACKED=weight_packed_fits\n")
    )
    assert repack.apply(KERNEL, MOVE) == expected


def test_it_is_found_once_and_alone() -> None:
    view, calls = rewriting.traced(KERNEL, problem(8, 4))
    assert repack.find(view, calls) == (MOVE,)
    changed = registry.replay(KERNEL, [MOVE])
    assert registry.found(repack.NAME, changed, calls) == ()
    (chain,) = (m for m in registry.chains(view, calls) if m[-1].name == repack.NAME)
    assert [move.name for move in chain] == [specialise.NAME, repack.NAME]
    assert all(move.claim is Claim.BIT_EQUAL for move in chain)


def test_a_weight_that_is_not_small_stays_where_it_is() -> None:
    view, calls = rewriting.traced(KERNEL, problem(60, 200))
    assert repack.find(view, calls) == ()


def test_a_last_dimension_of_one_element_needs_no_copy() -> None:
    source = KERNEL.replace("channels, 3, 2)", "channels, 1, 1)")
    view, calls = rewriting.traced(source, problem(8, 4))
    assert repack.find(view, calls) == ()


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(list(SPELLINGS)[:1], SPELLINGS))
def test_no_bit_changes_and_it_compiles(name: str) -> None:
    """However it is written, for channels that fill the blocks and for others."""
    source = spelled(name)
    view, calls = rewriting.traced(source, problem(16, 4))
    ending = [c for c in registry.chains(view, calls) if c[-1].name == repack.NAME]
    assert ending
    for chain in (repack.find(view, calls), ending[-1]):
        changed = registry.replay(source, chain)
        for channels, filters in ((16, 4), (21, 18)):
            (before,) = rewriting.outputs(source, problem(channels, filters))
            (after,) = rewriting.outputs(changed, problem(channels, filters))
            assert np.array_equal(before, after)
        for capability in ((8, 9), (9, 0)):
            assert rewriting.compile_faults(changed, problem(16, 4), capability) == []


@pytest.mark.triton
def test_the_copy_is_what_is_read_and_only_where_it_fits() -> None:
    """A copy of zeros shows which one a launch reads."""
    changed = registry.replay(KERNEL, [MOVE])
    emptied = changed.replace(".contiguous()\n", ".contiguous() * 0\n")
    assert emptied.count("* 0\n") == 1
    (before,) = rewriting.outputs(KERNEL, problem(16, 4))
    (after,) = rewriting.outputs(emptied, problem(16, 4))
    assert before.any() and not after.any()
    turned = "run(x, self.weight.transpose(2, 3).contiguous().transpose(2, 3))"
    text = emptied.replace("run(x, self.weight)", turned)
    (before,) = rewriting.outputs(KERNEL.replace("run(x, self.weight)", turned), problem(16, 4))
    (after,) = rewriting.outputs(text, problem(16, 4))
    assert np.array_equal(before, after)


@pytest.mark.triton
@pytest.mark.parametrize("passed", ["weight_packed", "weight_packed[1:]"])
def test_a_kernel_may_read_the_copy_alone_but_only_of_the_whole_operand(passed: str) -> None:
    changed = registry.replay(KERNEL, [MOVE]).replace(
        "w_packed_ptr=weight_packed,", f"w_packed_ptr={passed},"
    )
    request = parse_request(api.request(KERNEL, gpu="RTX 4090", stage="tuning"))
    gate = check_reply(request, parse_reply(changed), RunContext(ResultCache()), problem(16, 4))
    assert (gate.status is Status.FAIL) == (passed != "weight_packed"), gate


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("& (c < C)[None, :],", "& (f < F)[None, :],", "stays below C"),
        (ON_C, "& (c < F)[None, :])\n        acc", "below C"),
        (ON_C, "& (c <= C)[None, :])\n        acc", "below C"),
        (ON_C, "| (c < C)[None, :])\n        acc", "below C"),
        ("* TC + tl.arange(0, TC)", "* TC + tl.arange(0, TC) - 1", "below C"),
        ("T * parts):", "T * parts + 1):", "t stays below T"),
        ("step // parts", "step // parts + 1", "below T"),
        ("c[None, :] * T + t,", "c[None, :] * F + t,", "no products|whole row"),
        ("c[None, :] * T + t,", "c[None, :] * T + t + 1,", "one coefficient|below"),
        ("c[None, :] * T + t,", "c[None, :] * T,", "side by side"),
        ("c[None, :] * T + t,", "t * C + c[None, :],", "side by side"),
        ("c[None, :] * T + t,", "c[None, :] * T - t,", "not w_ptr"),
        ("    parts =", "    tl.store(w_ptr, 0.0)\n    parts =", "more than loads"),
        ("    parts =", "    tl.atomic_add(row, 0.0)\n    parts =", "more than loads"),
        ("    parts =", "    row += 1\n    parts =", "not w_ptr"),
        ("        acc = tl", "        c = c + 1\n        acc = tl", "below C"),
        ("        x, weight,", "        x, weight * 1,", "by a name"),
    ],
)  # fmt: skip
def test_it_refuses(old: str, new: str, reason: str) -> None:
    assert KERNEL.count(old) >= 1
    with pytest.raises(DoesNotApply, match=reason):
        repack.apply(KERNEL.replace(old, new), MOVE)


def test_the_type_of_the_operand_may_be_read() -> None:
    cast = "        x = x.to(w_ptr.dtype.element_ty)\n        acc = tl"
    source = KERNEL.replace("        acc = tl", cast)
    assert NEW in repack.apply(source, MOVE)


def test_a_bound_on_another_axis_of_the_tile_is_none() -> None:
    """`c` is below C along the rows of the tile, and stands along its columns."""
    source = KERNEL.replace("(f < F)[:, None] & (c < C)[None, :]", "(c < C)[:, None]")
    assert source != KERNEL
    with pytest.raises(DoesNotApply, match="below C"):
        repack.apply(source, MOVE)


def test_a_name_of_an_earlier_step_is_not_looked_through() -> None:
    """`o` is made of the `c` of the first step where the loop is unrolled."""
    source = KERNEL.replace(
        LOAD, "        if step == 0:\n            o = c[None, :] * T\n" + LOAD
    ).replace("row + c[None, :] * T", "row + o")
    with pytest.raises(DoesNotApply):
        repack.apply(source, MOVE)


def test_it_refuses_dimensions_that_are_not_those_of_the_address() -> None:
    wrong = (("operand", "w_ptr"), ("groups", (1, 1, 2)), ("permutation", (0, 1, 2, 3)))
    with pytest.raises(DoesNotApply, match="not those of the address"):
        repack.apply(KERNEL, Move(repack.NAME, "k", wrong))


@pytest.mark.triton
def test_indices_of_single_dimensions_move_as_one() -> None:
    """Taps in two loops, two coefficients: each is an index of its own."""
    source = KERNEL.replace("T: tl.constexpr", "R: tl.constexpr, S: tl.constexpr")
    source = source.replace("T=taps", "R=height, S=width").replace(ROW, "")
    head, rest = source.split("    for step")
    body, tail = rest.split("    tl.store(")
    lines = body.splitlines()[1:]
    inner = "\n".join("        " + line for line in lines[1:]).replace("at + t", "at + r * S + s")
    inner = inner.replace("(step % parts) * TC", "c0").replace("- 1)", "* 1 - 1)")
    inner = inner.replace(
        "row + c[None, :] * T + t", "w_ptr + ((f[:, None] * C + c[None, :]) * R + r) * S + s"
    )
    inner = inner.replace("L + T", "L + R * S")
    loops = (
        "    for c0 in range(0, C, TC):\n        for r in tl.static_range(R):\n"
        "            for s in range(S):\n"
    )
    source = f"{head}{loops}{inner}\n    tl.store({tail}"
    view, calls = rewriting.traced(source, problem(16, 4))
    (move,) = repack.find(view, calls)
    assert dict(move.arguments)["groups"] == (1, 1, 1, 1)
    changed = repack.apply(source, move)
    assert "w_packed_ptr + f[:, None] * (C * R * S) + r * (C * S) + s * C + c[None, :]" in " ".join(
        changed.replace("(\n", "").split()
    )
    for channels, filters in ((16, 4), (21, 18)):
        (before,) = rewriting.outputs(source, problem(channels, filters))
        (after,) = rewriting.outputs(changed, problem(channels, filters))
        assert np.array_equal(before, after)
