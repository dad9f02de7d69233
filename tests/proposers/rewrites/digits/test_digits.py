"""digits and pack: the text they write, what they compute, and when they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reductions
import rewriting
from amounts import slow_but

from warpwright.program.view import read_program
from warpwright.proposers.rewrites import registry
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits import digits_rewrite as digits
from warpwright.proposers.rewrites.specialise import specialise
from warpwright.types.candidate import Claim, Move

HEAD = "import triton\nimport triton.language as tl\n\n\n"
LOOP = """\
    # the sum
    for k0 in range(0, C * R * S, TK):  # in steps
        i = k0 + tl.arange(0, TK)
        ok = i < C * R * S  # the last step

        c = i // (R * S)
        r = i % (R * S) // S
        s = i % S
        col = s[None, :] * 2
        a = tl.load(x + (m[:, None] * C + c[None, :]) * W + r[None, :] * 8 + col,
                    mask=ok[None, :], other=0.0)
        b = tl.load(w + m[None, :] * (C * R * S) + i[:, None],
                    mask=ok[:, None] & (m < 9), other=0.0)
        acc += tl.dot(a, b)
"""
KERNEL = (
    HEAD
    + """\
@triton.jit
def k(x, w, y, C: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W: tl.constexpr,
      TM: tl.constexpr, TK: tl.constexpr):
    m = tl.program_id(0) * TM + tl.arange(0, TM)
    acc = tl.zeros((TM, TM), dtype=tl.float32)
"""
    + LOOP
    + """\
    tl.store(y + m[:, None], acc)


def run(x, weight, y, c):
    r, s = weight.shape[2:]
    k[(1,)](x, weight, y, c, r, s, 32, TM=16, TK=16)  # go
"""
)
NEW = """\
    # the sum
    if C % TK == 0:
        # The same sum in the order (r, s, c): a step has one r and one s,
        # and its lanes are neighbours in c.
        for k0 in range(0, C * R * S, TK):
            c = k0 % C + tl.arange(0, TK)
            s = k0 // C % S
            r = k0 // (S * C)
            a = tl.load(x + (r * 8 + s * 2) + m[:, None] * (C * W) + c[None, :] * W)
            b = tl.load(
                w + (c * (R * S) + r * S + s)[:, None] + m[None, :] * (C * R * S),
                mask=m < 9,
                other=0.0,
            )
            acc += tl.dot(a, b)
    else:
"""
PACKED = """\
    if W_PACKED and C % TK == 0:
        # The same sum in the order (r, s, c): a step has one r and one s,
        # and its lanes are neighbours in c.
        # w_packed_ptr has that order in memory.
        for k0 in range(0, C * R * S, TK):
            c = k0 % C + tl.arange(0, TK)
            s = k0 // C % S
            r = k0 // (S * C)
            k_packed = k0 + tl.arange(0, TK)
            a = tl.load(x + (r * 8 + s * 2) + m[:, None] * (C * W) + c[None, :] * W)
            b = tl.load(
                w_packed_ptr + m[None, :] * (C * R * S) + k_packed[:, None],
                mask=m < 9,
                other=0.0,
            )
            acc += tl.dot(a, b)
    else:
"""
HOST = """\
    # Permuted in each call to the order in which k sums.
    weight_packed = weight.permute(0, 2, 3, 1).contiguous()
    weight_packed_fits = (
        weight.shape[1] == c
        and weight.shape[2] == r
        and weight.shape[3] == s
        and weight.stride(0) == c * r * s
        and weight.stride(1) == r * s
        and weight.stride(2) == s
        and weight.stride(3) == 1
    )
"""


def reorder(lanes: str = "c", loop: int = 0) -> Move:
    return Move(digits.DIGITS, "k", (("loop", loop), ("lanes", lanes)), Claim.SAME_SUM)


def pack(operand: str = "w", permutation: tuple[int, ...] = (0, 2, 3, 1)) -> Move:
    added = (("operand", operand), ("permutation", permutation))
    return Move(digits.PACK, "k", (*reorder().arguments, *added), Claim.SAME_SUM)


def old_loop_below(new: str) -> str:
    _, *rest = LOOP.splitlines(keepends=True)
    old = [line if line == "\n" else "    " + line for line in rest]
    return new + "".join(old)


def test_the_loop_is_written_anew_and_the_old_one_kept() -> None:
    expected = KERNEL.replace(LOOP, old_loop_below(NEW))
    assert digits.apply(KERNEL, reorder()) == expected


def test_the_operand_is_packed_in_each_call_where_it_lies_as_the_kernel_thinks() -> None:
    expected = (
        KERNEL.replace(LOOP, old_loop_below("    # the sum\n" + PACKED))
        .replace("TK: tl.constexpr)", "TK: tl.constexpr, w_packed_ptr, W_PACKED: tl.constexpr)")
        .replace("    k[(1,)]", HOST + "    k[(1,)]")
        .replace("TK=16)", "TK=16, w_packed_ptr=weight_packed, W_PACKED=weight_packed_fits)")
    )
    assert digits.apply(KERNEL, pack()) == expected


def test_another_digit_can_fill_the_lanes() -> None:
    text = digits.apply(KERNEL, reorder("s"))
    assert "if S % TK == 0:" in text
    assert "s = k0 % S + tl.arange(0, TK)" in text
    assert "c = k0 // (R * S)\n" in text


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("C: tl.constexpr", "C", "specialise first"),
        ("range(0, C * R * S, TK)", "range(0, C * R * S, 1)", "steps of a constant block"),
        ("        acc += tl", "        i += 1\n        acc += tl", "is changed in the loop"),
        ("        acc += tl", "        k0 = 3\n        acc += tl", "assigns its own variable"),
        (
            "        acc += tl",
            "        if c == 1:\n            pass\n        acc += tl",
            "more than",
        ),
        ("    tl.store(y + m", "    tl.store(y + r + m", "read outside"),
        ("+ c[None, :]) * W", ") * W", "no longer spans"),
        ("        acc +=", "        acc += tl.sum(r)\n        acc +=", "no longer spans"),
        ("        acc +=", "        acc += r\n        acc +=", "no longer spans"),
        ("        acc +=", "        acc += ok\n        acc +=", "used as a value"),
        ("i // (R * S)", "i // (R * W)", "no multiple"),
        ("mask=ok[None, :], other=0.0)", '"""\n""", mask=ok[None, :], other=0.0)', "layout|string"),
    ],
)
def test_it_refuses(old: str, new: str, reason: str) -> None:
    assert KERNEL.count(old) >= 1
    with pytest.raises(DoesNotApply, match=reason):
        digits.apply(KERNEL.replace(old, new), reorder())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("m[None, :] * (C * R * S) + i[:, None]", "m[None, :] * i[:, None]", "does not load"),
        ("+ i[:, None],", "+ i[:, None] + 1,", "constant offset"),
        ("+ i[:, None],", "+ c[:, None],", "lacks"),
        ("k[(1,)](x, weight,", "k[(1,)](x, weight.view(-1, 1, r, s),", "by a name"),
        ("k[(1,)](x, weight, y, c,", "k[(1,)](*[x, weight, y, c],", "splatted"),
    ],
)
def test_pack_refuses(old: str, new: str, reason: str) -> None:
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match=reason):
        digits.apply(KERNEL.replace(old, new), pack())


def test_pack_refuses_a_permutation_that_is_none() -> None:
    with pytest.raises(DoesNotApply, match="no permutation"):
        digits.apply(KERNEL, pack(permutation=(0, 2, 2, 1)))


def test_an_assumed_size_is_a_condition() -> None:
    """The bound is a parameter of its own: the loop is taken only where it is the product."""
    source = KERNEL.replace("W: tl", "K: tl.constexpr, W: tl").replace("C * R * S", "K")
    source = source.replace("i // (R * S)", "i // (R * S) % C")
    text = digits.apply(source, reorder())
    assert "if C % TK == 0 and K == C * R * S:" in text


FULL = {"plane": (40, 40), "line": (2000,), "solid": (20, 20, 20)}


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(["plane"], reductions.PROGRAMS))
def test_both_loops_are_right_and_compile(name: str) -> None:
    """One launch takes the new loop, one, of channels that the block does not divide, the old."""
    source = reductions.PROGRAMS[name]
    full = rewriting.problem([(2, 16, *FULL[name])], (16, 9))
    view, calls = rewriting.traced(source, full)
    chains = registry.chains(view, calls)
    kinds = {move.name: moves for moves in chains for move in moves}
    assert {specialise.NAME, digits.DIGITS, digits.PACK} <= set(kinds)
    for kind in (digits.DIGITS, digits.PACK):
        changed = registry.replay(source, kinds[kind])
        assert read_program(changed).kernels
        for capability in ((8, 9), (9, 0)):
            assert rewriting.compile_faults(changed, full, capability) == []
        for channels in (16, 5):
            small = rewriting.problem([(2, channels, *reductions.SHAPES[name])], (channels, 9))
            (before,) = rewriting.outputs(source, small)
            (after,) = rewriting.outputs(changed, small)
            same = np.array_equal(before, after)
            assert same == (channels == 5), "which loop ran shows in the last bits"
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)


@pytest.mark.triton
def test_a_weight_that_lies_otherwise_takes_the_old_loop() -> None:
    """The program passes its strides, so it is right for any; the copy is only for its own."""
    source = reductions.LINE
    full = rewriting.problem([(2, 16, 2000)], (16, 9))
    view, calls = rewriting.traced(source, full)
    moves = next(m for m in registry.chains(view, calls) if m[-1].name == digits.PACK)
    changed = registry.replay(source, moves)
    turned = "return convolve(x, self.taps.transpose(0, 1).contiguous().transpose(0, 1))"
    for text in (source, changed):
        assert text.count("return convolve(x, self.taps)") == 1
    small = rewriting.problem([(2, 16, 41)], (16, 9))
    (before,) = rewriting.outputs(source, small)
    (after,) = rewriting.outputs(changed.replace("return convolve(x, self.taps)", turned), small)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-4)


def test_the_index_is_put_together_again_below_an_opaque_bound() -> None:
    """`k` itself is used, and nothing tells that the bound is the product of the digits."""
    source = KERNEL.replace("W: tl", "K: tl.constexpr, W: tl").replace("C * R * S", "K")
    text = digits.apply(source, reorder())
    assert "if (K // (R * S)) % TK == 0 and K % (R * S) == 0:" in text
    assert "w + (c * (R * S) + r * S + s)[:, None] + m[None, :] * K" in text


def test_a_name_that_came_to_mean_another_digit_is_not_read_as_that() -> None:
    """`at` is made of the first `j`; when it is read, `j` is another digit."""
    old = "        b = tl.load(w + m[None, :] * (C * R * S) + i[:, None],"
    new = (
        "        j = c\n        at = m[None, :] * (C * R * S) + j[:, None] * (R * S)\n"
        "        j = r\n        b = tl.load(w + at + r[:, None] * S + s[:, None],"
    )
    assert KERNEL.count(old) == 1
    with pytest.raises(DoesNotApply, match="does not load from w"):
        digits.apply(KERNEL.replace(old, new), pack())
    again = new.replace("        j = r\n", "        j = c\n")
    named_last = replace(pack(), arguments=(*reorder("j").arguments, *pack().arguments[2:]))
    assert "w_packed_ptr + " in digits.apply(KERNEL.replace(old, again), named_last)
