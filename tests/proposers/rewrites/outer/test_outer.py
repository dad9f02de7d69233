"""outer: what it writes, what it refuses, and how near its sums are in both branches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import outers
import pytest
import rewriting
from amounts import slow_but

from warpwright.program.view import read_program
from warpwright.proposers.rewrites import registry
from warpwright.proposers.rewrites.common.kernel_text import kernel_text
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.outer import outer
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.outer.nests import nests_of
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import Launch, ScalarArgument, TensorArgument
from warpwright.types.program import Kernel
from warpwright.types.shapes import Problem

HEAD = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
LOOP = """\
    for c in range(C):
        # one tap after the other
        for t in range(T):
            x = tl.load(x_ptr + (rows * C + c) * T + t, mask=rows < R, other=0.0)
            w = tl.load(w_ptr + (c * T + t) * N + cols)  # no mask
            acc += x[:, None] * w[None, :]
"""
KERNEL = (
    HEAD
    + """\
def k(x_ptr, w_ptr, y_ptr, R, N, n: tl.int32, C: tl.constexpr, T: tl.constexpr,
      B: tl.constexpr):
    rows = tl.program_id(0) * B + tl.arange(0, B)
    cols = tl.arange(0, B)
    acc = tl.zeros((B, B), dtype=tl.float32)
"""
    + LOOP
    + """\
    tl.store(y_ptr + rows[:, None] * N + cols[None, :], acc, mask=rows[:, None] < R)
"""
)


def move(
    lanes: str = "c", width: int = 32, name: str = outer.ROWS_FIRST, kernel: str = "k"
) -> Move:
    arguments = (("nest", 0), ("lanes", lanes), ("width", width))
    return Move(name, kernel, arguments, Claim.OTHER_ARITHMETIC)


def test_one_loop_becomes_lanes_and_the_old_nest_stays_in_the_other_branch() -> None:
    kept = "".join(f"    {line}\n" for line in LOOP.splitlines())
    new = """\
    # 32 terms of the sum at a time, as a matrix product on the tensor cores.
    if C % 32 == 0:
        for step in range(0, C // 32 * T):
            c = step // T * 32 + tl.arange(0, 32)
            t = step % T
            x = tl.load(
                x_ptr + (rows[:, None] * C + c[None, :]) * T + t,
                mask=rows[:, None] < R,
                other=0.0,
            )
            w = tl.load(w_ptr + (c[:, None] * T + t) * N + cols[None, :])
            acc = tl.dot(x, w, acc, input_precision="tf32x3")
    else:
"""
    assert outer.apply(KERNEL, move()) == KERNEL.replace(LOOP, new + kept)


def test_all_loops_become_lanes_under_a_mask_and_comments_stay() -> None:
    new = """\
    # 16 terms of the sum at a time, as a matrix product on the tensor cores.
    for step in range(0, tl.cdiv(C * T, 16)):
        term = step * 16 + tl.arange(0, 16)
        inside = term < C * T
        c = term // T
        t = term % T
        # one tap after the other
        x = tl.load(
            x_ptr + (rows[None, :] * C + c[:, None]) * T + t[:, None],
            mask=(rows[None, :] < R) & inside[:, None],
            other=0.0,
        )
        # no mask
        w = tl.load(
            w_ptr + (c[:, None] * T + t[:, None]) * N + cols[None, :],
            mask=inside[:, None],
            other=0.0,
        )
        acc = tl.dot(tl.trans(x), w, acc, input_precision="tf32x3")
"""
    flat = move("*", 16, outer.TERMS_FIRST)
    assert outer.apply(KERNEL, flat) == KERNEL.replace(LOOP, new)


def test_a_width_that_divides_a_plain_number_needs_no_guard() -> None:
    text = outer.apply(KERNEL.replace("range(C)", "range(64)"), move())
    assert "range(0, T * 2)" in text
    assert " if " not in text


def test_names_that_stand_before_the_nest_are_not_reused() -> None:
    """A loop carries a name that is there before it: it would have two forms."""
    source = KERNEL.replace("    acc = tl.z", "    x = rows * 2\n    acc = tl.z")
    text = outer.apply(source, move())
    assert "x_ = tl.load(" in text
    assert "tl.dot(x_, w, acc" in text


STEP = "            w = tl"
SUM = "acc += x[:, None] * w[None, :]"
ZEROS = "tl.zeros((B, B), dtype=tl.float32)"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("    tl.store(y_ptr +", "    tl.store(y_ptr + c +", "c is read behind"),
        ("    tl.store(y_ptr +", "    tl.store(y_ptr + w +", "w is read behind"),
        ("range(C)", "range(R)", "R is not a compile-time size"),
        ("range(C)", "range(1, C)", "no loop over c"),
        ("range(C)", "range(0, C, 2)", "no loop over c"),
        ("range(C)", "range(tl.load(x_ptr))", "no loop over c"),
        ("range(T)", "range(c)", "no loop over c"),
        ("range(T)", "range(C - T)", "no outer products"),
        ("acc += x", "acc -= x", "no outer products"),
        ("acc += x[:, None] * w", "acc += acc * w", "no outer products"),
        (SUM, "acc += acc[:, None] * w[None, :]", "no outer products"),
        (STEP, "            x = x * 2.0\n" + STEP, "no outer products"),
        (STEP, "            tl.debug_barrier()\n" + STEP, "no outer prod"),
        (SUM, "acc += x[None, :] * w[None, :]", "a column times a row"),
        (SUM, "acc += x[:, None] * x[None, :]", "both operands"),
        ("(c * T + t) * N + cols)", "t * N + cols)", "w does not depend"),
        ("(c * T + t) * N + cols)", "t * N + cols, mask=c < 5)", "terms in its mask alone"),
        ("cols)  #", "cols, volatile=True)  #", "no plain load"),
        ("tl.load(w_ptr + (c", "tl.atomic_add(w_ptr + cols, 1.0) + tl.load(w_ptr + (c", "surely"),
        (STEP, "            q = tl.atomic_add(y_ptr, 1.0)\n" + STEP, "eff"),
        (STEP, "            q = helper(c)\n" + STEP, "without effects"),
        (STEP, "            q = tl.max(rows * c, 0)\n" + STEP, "effects"),
        (STEP, "            q = c if c > 2 else t\n" + STEP, "lane by lane"),
        (STEP, "            q = c > 2 and t > 1\n" + STEP, "lane by lane"),
        (STEP, "            q = tl.arange(0, c)\n" + STEP, "no vector"),
        (STEP, "            q = tl.multiple_of(c, 8)\n" + STEP, "no vector"),
        ("mask=rows < R, other=0.0)", "mask=rows < R).to(tl.float16)", "not surely a float32"),
        ("cols)  #", "cols).to(tl.float64)  #", "not surely a float32"),
        ("tl.load(w_ptr +", "tl.load(w_ptr.to(tl.pointer_type(tl.int32)) +", "another type"),
        (ZEROS, "tl.zeros((B, B), dtype=tl.float64)", "zeros"),
        (ZEROS, "tl.load(y_ptr + rows[:, None] + cols)", "no"),
    ],
)  # fmt: skip
def test_it_refuses(old: str, new: str, reason: str) -> None:
    assert KERNEL.count(old) == 1
    source = KERNEL.replace(old, new)
    with pytest.raises(DoesNotApply, match=reason):
        outer.apply(source, move())


def test_a_name_read_by_the_next_step_of_a_loop_around_is_alive() -> None:
    source = HEAD + (
        "def k(x_ptr, n, C: tl.constexpr):\n    y = 0\n    for i in range(n):\n        a = y\n"
        "        for c in range(C):\n            y = c\n            z = a\n        z = 1\n"
        "        b = z\n"
    )
    node = kernel_text(source, "k").node
    inner = node.body[1].body[1]  # type: ignore[attr-defined]
    live = live_after(node, inner)
    assert "y" in live
    assert not live & {"z", "a", "b"}


def test_nests_in_other_loops_are_read() -> None:
    text = kernel_text(outers.STEPPED, "product")
    (nest,) = nests_of(text)
    assert [loop.variable for loop in nest.loops] == ["k1"]


def launch(**sizes: int) -> Launch:
    tensor = TensorArgument("float32", (64, 64), (64, 1))
    arguments: dict[str, Any] = dict.fromkeys(("x_ptr", "w_ptr", "y_ptr"), tensor)
    arguments |= {name: ScalarArgument(value, "i32") for name, value in sizes.items()}
    return Launch("k", 0, arguments, (), False)


def proposed(source: str, *launches: Launch) -> list[tuple[str, int]]:
    view = read_program(source)
    kernel: Kernel | None = view.kernel("k")
    assert kernel is not None
    calls = (KernelCalls(kernel, (), launches),)
    return [
        (str(made.argument("lanes")), int(str(made.argument("width"))))
        for made in outer.find_rows_first(view, calls)
    ]


@pytest.mark.parametrize(
    ("sizes", "lanes"),
    [
        ([{"C": 64, "T": 3, "B": 16}], [("c", 32)]),
        ([{"C": 48, "T": 3, "B": 16}], [("c", 16)]),
        ([{"C": 64, "T": 3, "B": 16}, {"C": 16, "T": 3, "B": 16}], [("c", 16)]),
        ([{"C": 5, "T": 32, "B": 16}], [("t", 32)]),
        ([{"C": 5, "T": 9, "B": 16}], [("*", 32)]),
        ([{"C": 5, "T": 3, "B": 16}], []),
        ([{"C": 64, "T": 3, "B": 8}], []),
        ([{"C": 64, "T": 3}], []),
    ],
)
def test_lanes_follow_the_sizes_of_all_launches(
    sizes: list[dict[str, int]], lanes: list[tuple[str, int]]
) -> None:
    assert proposed(KERNEL, *(launch(**given) for given in sizes)) == lanes


def test_other_types_are_left_alone() -> None:
    good = launch(C=64, T=3, B=16)
    assert proposed(KERNEL, good)
    half = TensorArgument("float16", (64, 64), (64, 1))
    assert not proposed(KERNEL, replace(good, arguments={**good.arguments, "w_ptr": half}))


def test_addresses_that_an_unrolled_loop_folds_in_64_bits_stay() -> None:
    good = launch(C=64, T=3, B=16)
    large = TensorArgument("float32", (2**16, 2**16), (2**16, 1))
    arguments = {**good.arguments, "x_ptr": large}
    assert proposed(KERNEL, replace(good, arguments=arguments))
    unrolled = KERNEL.replace("range(C)", "tl.static_range(C)")
    assert proposed(unrolled, good)
    assert not proposed(unrolled, replace(good, arguments=arguments))


def test_the_nest_that_was_kept_is_not_taken_again() -> None:
    text = outer.apply(KERNEL, move())
    assert len(nests_of(kernel_text(text, "k"))) == 1
    assert proposed(text, launch(C=64, T=3, B=16)) == []


CASES: dict[str, tuple[str, Problem, Problem]] = {
    name: (source, rewriting.problem(first, init), rewriting.problem(second, other))
    for name, source, first, init, second, other in [
        ("product", outers.PRODUCT, [(20, 64), (64, 40)], (), [(17, 50), (50, 33)], ()),
        ("swapped", outers.SWAPPED, [(20, 48), (48, 40)], (), [(17, 31), (31, 33)], ()),
        ("no names", outers.NO_NAMES, [(20, 50), (50, 40)], (), [(17, 64), (64, 33)], ()),
        ("stepped", outers.STEPPED, [(20, 64), (64, 40)], (), [(17, 48), (48, 33)], ()),
        ("plane", outers.PLANE, [(2, 16, 4, 5)], (16, 9), [(1, 5, 4, 3)], (5, 3)),
        ("plane, flat", outers.PLANE, [(2, 5, 4, 5)], (5, 9), [(1, 16, 4, 3)], (16, 3)),
        ("volume", outers.VOLUME, [(2, 16, 3, 4, 3)], (16, 9), [(1, 5, 3, 4, 3)], (5, 3)),
        ("volume, flat", outers.VOLUME, [(2, 5, 3, 4, 3)], (5, 9), [(1, 16, 3, 2, 3)], (16, 3)),
    ]
}


def texts(source: str, problem: Problem) -> list[str]:
    """What the moves make of a program, with sizes known as they are."""
    view, calls = rewriting.traced(source, problem)
    moves = [*outer.find_rows_first(view, calls), *outer.find_terms_first(view, calls)]
    assert moves
    assert {made.claim for made in moves} == {Claim.OTHER_ARITHMETIC}
    return [registry.apply_move(source, made) for made in moves]


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(["product", "plane", "stepped"], CASES))
def test_sums_are_as_near_as_those_of_the_parent(name: str) -> None:
    """On the sizes that the move was found on, and on others, which take the other branch."""
    source, found_on, other = CASES[name]
    changed = texts(source, found_on)
    for problem in (found_on, other):
        (before,) = rewriting.outputs(source, problem)
        for text in changed:
            (after,) = rewriting.outputs(text, problem)
            np.testing.assert_allclose(after, before, rtol=0, atol=3e-6 * np.abs(before).max())


@pytest.mark.triton
@pytest.mark.parametrize(
    "name", slow_but(["product"], ["product", "no names", "plane, flat", "volume, flat"])
)
@pytest.mark.parametrize("distribution", ["wide", "outliers", "nonfinite"])
def test_unusual_values_come_out_alike(name: str, distribution: str) -> None:
    source, problem, _ = CASES[name]
    (before,) = rewriting.outputs(source, problem, distribution=distribution)
    assert np.isfinite(before).all() == (distribution != "nonfinite")
    for text in texts(source, problem):
        (after,) = rewriting.outputs(text, problem, distribution=distribution)
        for kind in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(kind(after), kind(before))
        finite = np.isfinite(before)
        apart = np.linalg.norm(after[finite] - before[finite].astype(np.float64))
        assert apart <= 1e-6 * np.linalg.norm(before[finite].astype(np.float64))


@pytest.mark.triton
def test_a_padded_lane_adds_nothing_whatever_is_computed_of_it() -> None:
    """The reciprocal of a masked lane is infinite; times zero it would be no number."""
    source = outers.PRODUCT.replace("acc += a[:, None]", "acc += (1.0 / a)[:, None]")
    (before,) = rewriting.outputs(source, rewriting.problem([(16, 50), (50, 32)]))
    for text in texts(source, rewriting.problem([(16, 50), (50, 32)])):
        assert "inside" in text
        (after,) = rewriting.outputs(text, rewriting.problem([(16, 50), (50, 32)]))
        np.testing.assert_allclose(after, before, rtol=0, atol=3e-6 * np.abs(before).max())


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(["plane"], CASES))
def test_every_text_compiles(name: str) -> None:
    source, problem, _ = CASES[name]
    for text in texts(source, problem):
        for capability in ((8, 9), (9, 0)):
            assert rewriting.compile_faults(text, problem, capability) == []


@pytest.mark.triton
def test_run_time_sizes_may_be_decoded_too() -> None:
    source = outers.PRODUCT.replace("K: tl.constexpr", "K")
    problem = rewriting.problem([(20, 50), (50, 40)])
    (before,) = rewriting.outputs(source, problem)
    for text in texts(source, problem):
        assert "inside" in text
        (after,) = rewriting.outputs(text, problem)
        np.testing.assert_allclose(after, before, rtol=0, atol=3e-6 * np.abs(before).max())


@pytest.mark.triton
def test_two_sums_of_a_kernel_are_both_taken() -> None:
    loop = outers.PRODUCT[outers.PRODUCT.index("    for k") : outers.PRODUCT.index("    at =")]
    source = outers.PRODUCT.replace(loop, loop + loop.replace("range(K)", "range(K // 2)"))
    problem = rewriting.problem([(16, 50), (50, 32)])
    view, calls = rewriting.traced(source, problem)
    chain = max(
        registry.chains(view, calls), key=lambda made: [move.name for move in made].count("outer")
    )
    assert [made.name for made in chain].count(outer.ROWS_FIRST) == 2
    text = registry.replay(source, chain)
    (before,), (after,) = rewriting.outputs(source, problem), rewriting.outputs(text, problem)
    np.testing.assert_allclose(after, before, rtol=0, atol=3e-6 * np.abs(before).max())
    assert rewriting.compile_faults(text, problem, (8, 9)) == []
