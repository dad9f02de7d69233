"""grouped: what it writes, what it refuses, that each block runs once and no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but
from linear_layer import KERNEL, ORDER, PROGRAM

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.products import block_order
from warpwright.proposers.rewrites.registry import found, refinements
from warpwright.types.candidate import Claim, Move

GOLDEN = """\
    # Groups of 8 blocks by all of the second axis: those that run together share more
    # of what they read.
    block = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    first = block // (8 * tl.num_programs(1)) * 8
    group = tl.minimum(tl.num_programs(0) - first, 8)
    block_row = first + block % (8 * tl.num_programs(1)) % group
    block_column = block % (8 * tl.num_programs(1)) // group
"""


def move(group: int = 8) -> Move:
    return Move(block_order.NAME, KERNEL, (("group", group),), Claim.BIT_EQUAL)


def test_both_block_numbers_come_from_the_blocks_place_in_its_group() -> None:
    assert block_order.apply(PROGRAM, move()) == PROGRAM.replace(ORDER, GOLDEN)


def test_the_second_number_may_be_read_first_and_others_in_between() -> None:
    order = (
        "    block_column = tl.program_id(axis=1)\n    group = 1\n"
        "    block_row = tl.program_id(0)  # down\n"
    )
    text = block_order.apply(PROGRAM.replace(ORDER, order), move(4))
    assert (
        "    group_ = tl.minimum(tl.num_programs(0) - first, 4)\n"
        "    block_column = block % (4 * tl.num_programs(1)) // group_\n"
        "    group = 1\n"
        "    block_row = first + block % (4 * tl.num_programs(1)) % group_  # down\n"
    ) in text


@pytest.mark.parametrize(("down", "across"), [(1, 1), (8, 3), (9, 1), (17, 5), (3, 40), (24, 2)])
@pytest.mark.parametrize("size", [1, 4, 8])
def test_each_tile_is_one_blocks_and_groups_are_whole(down: int, across: int, size: int) -> None:
    text = block_order.apply(PROGRAM, move(size)).partition("what they read.\n")[2]
    lines = [line.strip() for line in text.partition("    row = ")[0].splitlines()]
    seen = []
    for number in range(down * across):
        place = {0: number % down, 1: number // down}

        class tl:  # noqa: N801 - as the kernel calls it
            program_id = staticmethod(place.__getitem__)
            num_programs = staticmethod((down, across).__getitem__)
            minimum = staticmethod(min)

        names: dict[str, int] = {}
        exec("\n".join(lines), {"tl": tl}, names)
        seen.append((names["block_row"], names["block_column"]))
    assert sorted(seen) == [(row, column) for row in range(down) for column in range(across)]
    groups = [row // size for row, _ in seen]
    assert groups == sorted(groups)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("tl.program_id(1)", "tl.program_id(0)", "number 0 once"),
        ("block_row * ROWS", "tl.program_id(0) * ROWS", "number 0 once"),
        ("tl.program_id(1)", "tl.program_id(rows)", "number 0 once"),
        ("tl.program_id(1)", "tl.program_id(2)", "number 1 once"),
        ("tl.program_id(1)", "tl.program_id(1) + 1", "number 1 once"),
        ("block_column * COLUMNS", "block_column * 16", "block_column is not multiplied"),
        ("    row = block", "    block_row = block_row + 0\n    row = block", "more than once"),
        ("total += tl.dot(x, w, allow_tf32=False)", "total += x * w", "no product in a loop"),
        ("    tl.store(y_ptr", "    tl.atomic_add(y_ptr", "the order of blocks may show"),
        ("mask=column < columns, other", "mask=column < columns, volatile=True, other", "volatile"),
        ("    block_row = tl", "    block_row = 1; block_row = tl", "more than once"),
        ("    block_row = tl", "    x = 1; block_row = tl", "shares its line"),
    ],
)
def test_what_may_show_the_order_is_refused(old: str, new: str, why: str) -> None:
    assert PROGRAM.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        block_order.apply(PROGRAM.replace(old, new), move())


@pytest.mark.parametrize(
    ("body", "why"),
    [("return x + tl.program_id(0)", "reads block numbers"), ("tl.atomic_add(x, 1)", "atomic_add")],
)
def test_functions_that_the_kernel_calls_are_looked_at(body: str, why: str) -> None:
    helpers = f"@triton.jit\ndef inner(x):\n    {body}\n\n\n"
    helpers += "@triton.jit\ndef outer(x):\n    return inner(x)\n\n\n"
    text = PROGRAM.replace("@triton.jit\n", helpers + "@triton.jit\n")
    text = text.replace("    step = tl", "    outer(w_ptr)\n    step = tl")
    with pytest.raises(DoesNotApply, match=why):
        block_order.apply(text, move())


def test_it_is_done_once() -> None:
    with pytest.raises(DoesNotApply, match="once"):
        block_order.apply(block_order.apply(PROGRAM, move()), move())


def test_it_refines_where_there_are_several_groups() -> None:
    view, calls = rewriting.traced(PROGRAM, rewriting.problem([(32 * 9, 24)], [24, 20]))
    assert found(block_order.NAME, PROGRAM, calls) == (move(),)
    assert move() in refinements(view, calls)
    _, calls = rewriting.traced(PROGRAM, rewriting.problem([(32 * 8, 24)], [24, 20]))
    assert found(block_order.NAME, PROGRAM, calls) == ()


@pytest.mark.triton
@pytest.mark.parametrize("rows", slow_but([300], [300, 20]))
def test_no_bit_changes(rows: int) -> None:
    problem = rewriting.problem([(rows, 24)], [24, 40])
    text = block_order.apply(PROGRAM, move())
    before, after = (rewriting.outputs(program, problem) for program in (PROGRAM, text))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    text = block_order.apply(PROGRAM, move())
    assert (
        rewriting.compile_faults(text, rewriting.problem([(300, 24)], [24, 40]), capability) == []
    )
