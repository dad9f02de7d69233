"""Offsets that wrap are told, and nothing else is: no text makes the walk fail."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warpwright.analysis.wrapped_offsets import WrappedOffset, wrapped_offset
from warpwright.compiler.ttir import read_function

LINE = 40_000  # LINE² = 1.6e9 fits in 31 bits, 54,000 lines do not
HEAD = """tt.func public @k(%x: !tt.ptr<f32>, %n: i32, %line: i32) attributes {noinline = false} {
%zero = arith.constant 0 : i32
%one = arith.constant 1 : i32
%eight = arith.constant 8 : i32
%nothing = arith.constant dense<0.0> : tensor<8xf32>
%lane = tt.make_range {end = 8 : i32, start = 0 : i32} : tensor<8xi32>
%row = tt.get_program_id x : i32
%lines = tt.splat %line : i32 -> tensor<8xi32>
"""
ACCESS = """%base = tt.splat %x : !tt.ptr<f32> -> tensor<8x!tt.ptr<f32>>
%at = tt.splat {offset} : i32 -> tensor<8xi32>
%all = arith.addi %at, %lane : tensor<8xi32>
%p = tt.addptr %base, %all : tensor<8x!tt.ptr<f32>>, tensor<8xi32>
"""
LOAD = "%v = tt.load %p : tensor<8x!tt.ptr<f32>>\n"
ROWS = "%first = arith.muli %row, %line : i32\n" + ACCESS.format(offset="%first")


def found(
    body: str, rows: int = 100_000, n: int = 100_000, line: int = LINE
) -> WrappedOffset | None:
    function = read_function(f"{HEAD}{body}tt.return\n}}\n")
    assert function is not None
    return wrapped_offset(function, {"%n": n, "%line": line}, {"%x": "x_ptr"}, (rows,))


def test_the_last_block_reaches_too_far() -> None:
    assert found(ROWS + LOAD) == WrappedOffset("x_ptr", (99_999,), 99_999 * LINE)
    assert "element 3,999,960,000 of x_ptr" in str(found(ROWS + LOAD))


@pytest.mark.parametrize("rows", [1, 53_688])
def test_offsets_that_fit_are_fine(rows: int) -> None:
    """53,687 · 40,000 + 7 is below 2³¹."""
    assert found(ROWS + LOAD, rows) is None
    assert found(ROWS + LOAD, 53_689) is not None


def test_an_offset_in_64_bits_is_fine_and_one_widened_too_late_is_not() -> None:
    early = """%wide = arith.extsi %row : i32 to i64
%wideline = arith.extsi %line : i32 to i64
%first = arith.muli %wide, %wideline : i64
%p = tt.addptr %x, %first : !tt.ptr<f32>, i64
%v = tt.load %p : !tt.ptr<f32>
"""
    late = """%short = arith.muli %row, %line : i32
%first = arith.extsi %short : i32 to i64
%p = tt.addptr %x, %first : !tt.ptr<f32>, i64
%v = tt.load %p : !tt.ptr<f32>
"""
    assert found(early) is None
    assert found(late) == WrappedOffset("x_ptr", (99_999,), 99_999 * LINE)


def test_several_short_steps_reach_any_element() -> None:
    """Each is made as wide as an address by itself."""
    steps = """%far = arith.constant 2000000000 : i32
%once = tt.addptr %x, %far : !tt.ptr<f32>, i32
%twice = tt.addptr %once, %far : !tt.ptr<f32>, i32
%v = tt.load %twice : !tt.ptr<f32>
"""
    assert found(steps) is None


def test_a_sum_that_comes_back_is_right_and_a_quotient_of_it_is_not() -> None:
    away = "%far = arith.muli %row, %line : i32\n"
    back = away + "%first = arith.subi %far, %far : i32\n" + ACCESS.format(offset="%first") + LOAD
    halved = (
        away + "%first = arith.divsi %far, %line : i32\n" + ACCESS.format(offset="%first") + LOAD
    )
    assert found(back) is None
    assert found(halved) == WrappedOffset("x_ptr", (99_999,), 99_999)


MASKED = """%rows = tt.splat %row : i32 -> tensor<8xi32>
%ns = tt.splat {limit} : i32 -> tensor<8xi32>
%m = arith.cmpi slt, %rows, %ns : tensor<8xi32>
%v = tt.load %p, %m, %nothing : tensor<8x!tt.ptr<f32>>
"""
UNKNOWN_MASK = """%m = tt.call @unknown() : tensor<8xi1>
%v = tt.load %p, %m, %nothing : tensor<8x!tt.ptr<f32>>
"""


@pytest.mark.parametrize(
    ("mask", "n", "is_told"),
    [
        (MASKED.format(limit="%n"), 100_000, True),
        (MASKED.format(limit="%n"), 50_000, False),  # masked out where it would wrap
        (LOAD, 0, True),
        (UNKNOWN_MASK, 0, False),
    ],
    ids=["takes part", "masked out", "no mask", "unknown mask"],
)
def test_only_a_lane_that_takes_part_counts(mask: str, n: int, is_told: bool) -> None:
    assert (found(ROWS + mask, n=n) is not None) is is_told


LOOP = """%r = scf.for %i = %zero to %n step %one iter_args(%c = {start}) -> (i32)  : i32 {{
{body}
scf.yield %next : i32
}}
"""


def test_a_loops_last_turn_is_carried_out_by_its_counter() -> None:
    body = "%first = arith.muli %i, %line : i32\n" + ACCESS.format(offset="%first") + LOAD
    loop = LOOP.format(start="%zero", body=body + "%next = arith.addi %c, %one : i32")
    assert found(loop, rows=1) == WrappedOffset("x_ptr", (0,), 99_999 * LINE)
    assert found(loop, rows=1, n=1000) is None


def test_a_loop_that_counts_in_64_bits_wraps_nothing() -> None:
    """Its counter goes beyond 2³¹ by itself."""
    wide = """%far = arith.constant 4000000000 : i64
%none = arith.constant 0 : i64
%by = arith.constant 1000 : i64
scf.for %i = %none to %far step %by  : i64 {
%p = tt.addptr %x, %i : !tt.ptr<f32>, i64
%v = tt.load %p : !tt.ptr<f32>
}
"""
    assert found(wide, rows=1) is None
    short = wide.replace("i64", "i32").replace("4000000000", "-294967296")
    assert found(short, rows=1) is None  # the bound wrapped: no turn at all


def test_of_a_loop_of_unknown_length_nothing_is_certain() -> None:
    body = "%first = arith.muli %row, %line : i32\n" + ACCESS.format(offset="%first") + LOAD
    loop = LOOP.format(start="%zero", body=body + "%next = arith.addi %c, %one : i32")
    assert found(loop) is not None
    unknown = "%m = tt.call @unknown() : i32\n" + loop.replace("to %n step", "to %m step")
    assert found(unknown) is None


def test_what_a_loop_carries_is_known_where_it_grows_evenly() -> None:
    body = ACCESS.format(offset="%c") + LOAD
    even = LOOP.format(start="%zero", body=body + "%next = arith.addi %c, %line : i32")
    odd = LOOP.format(start="%one", body=body + "%next = arith.muli %c, %eight : i32")
    assert found(even, rows=1) == WrappedOffset("x_ptr", (0,), 99_999 * LINE)
    assert found(odd, rows=1) is None
    after = even + "%q = tt.addptr %x, %r : !tt.ptr<f32>, i32\n%w = tt.load %q : !tt.ptr<f32>\n"
    assert found(after, rows=1, n=53_687 + 1) is not None


def test_a_pointer_that_a_loop_moves_on_needs_no_more_than_its_step() -> None:
    body = """%v = tt.load %c : !tt.ptr<f32>
%next = tt.addptr %c, %line : !tt.ptr<f32>, i32"""
    loop = LOOP.format(start="%x", body=body).replace("-> (i32)", "-> (!tt.ptr<f32>)")
    assert found(loop.replace("%next : i32", "%next : !tt.ptr<f32>"), rows=1) is None


def test_a_branch_that_is_not_taken_reads_nothing() -> None:
    branch = """%c = arith.cmpi HOW, %row, %n : i32
scf.if %c {
""" + ROWS + LOAD + "}\n"  # fmt: skip
    assert found(branch.replace("HOW", "slt")) is not None
    assert found(branch.replace("HOW", "sge")) is None


def test_a_block_that_returns_early_reads_nothing() -> None:
    early = """%c = arith.cmpi sge, %row, %n : i32
cf.cond_br %c, ^bb1, ^bb2
^bb1:
tt.return
^bb2:
""" + ROWS + LOAD  # fmt: skip
    assert found(early, n=10) is None
    assert found(early) is not None


WORDS = [
    *(ROWS + LOAD + MASKED.format(limit="%n")).splitlines(),
    LOOP.splitlines()[0].format(start="%zero"),
    "scf.yield %next : i32",
    "scf.if %m {",
    "}",
    "%lane = tt.make_range {end = 1000000000 : i32, start = 0 : i32} : tensor<1000000000xi32>",
    "%at = tt.expand_dims %lane {axis = 9 : i32} : tensor<8xi32> -> tensor<8x1xi32>",
    "%at = tt.reshape %lane : tensor<8xi32> -> tensor<2x4xi32>",
    "%n = arith.divsi %line, %zero : i32",
    "%line = arith.muli %line, %line : i64",
]


@given(st.lists(st.sampled_from(WORDS), max_size=20))
@example(
    [
        "%at = tt.reshape %lane : tensor<8xi32> -> tensor<2x4xi32>",
        "%all = arith.addi %at, %lane : tensor<8xi32>",
    ]
)
def test_no_text_makes_it_fail(lines: list[str]) -> None:
    found("\n".join([*lines, ""]))
