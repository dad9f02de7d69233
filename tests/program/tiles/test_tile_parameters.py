"""Which constants of a kernel are tiles that may change, how far, and which are none."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from warpwright.program.parsed import parse_program
from warpwright.program.tiles.tile_parameters import TileReading, read_tiles

HEAD = """\
import triton
import triton.language as tl


@triton.jit
def k(x, w, y, n, m, K, s, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
"""


def reading(body: str) -> TileReading:
    program = parse_program(HEAD + indent(dedent(body), "    "))
    return read_tiles(program.kernels[0].node)


PRODUCT = """
i, j = tl.program_id(0), tl.program_id(1)
i = tl.program_id(0)
j = tl.program_id(1)
row = i * A + tl.arange(0, A)
column = j * B + tl.arange(0, B)
deep = tl.arange(0, C)
xs = x + row[:, None] * s + deep[None, :]
ws = w + deep[:, None] * m + column[None, :]
total = tl.zeros((A, B), dtype=tl.float32)
for at in range(0, K, C):
    left = K - at
    u = tl.load(xs, mask=(row[:, None] < n) & (deep[None, :] < left), other=0.0)
    v = tl.load(ws, mask=(deep[:, None] < left) & (column[None, :] < m), other=0.0)
    total += tl.dot(u, v)
    xs += C
    ws += C * m
tl.store(y + row[:, None] * m + column[None, :], total,
         mask=(row[:, None] < n) & (column[None, :] < m))
""".replace("i, j = tl.program_id(0), tl.program_id(1)\n", "")


def test_a_product_has_three_tiles_that_may_grow() -> None:
    found = reading(PRODUCT)
    assert found.refused == {}
    assert {name: (t.axes, t.in_loop) for name, t in found.tiles.items()} == {
        "A": ((0,), False),
        "B": ((1,), False),
        "C": ((), True),
    }
    assert all(tile.no_growth is None for tile in found.tiles.values())
    assert found.numbers == {}


@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        ("(deep[None, :] < left), other=0.0", "(deep[None, :] < left), other=1.0", "C", "count"),
        ("(deep[None, :] < left), other=0.0", "(deep[None, :] < left)", "C", "count"),
        ("(row[:, None] < n) & (deep[None, :] < left)", "(deep[None, :] < left)", "A", "no mask"),
        ("         mask=(row[:, None] < n) & (column", "         mask=(column", "A", "no mask"),
        ("mask=(row[:, None] < n) & (deep[None, :] < left)", "mask=row[:, None] < n", "C", "no"),
    ],
)
def test_a_tile_that_is_not_bounded_everywhere_may_only_shrink(
    old: str, new: str, name: str, why: str
) -> None:
    assert PRODUCT.count(old) == 1
    found = reading(PRODUCT.replace(old, new))
    reason = found.tiles[name].no_growth
    assert reason is not None and why in reason


def test_lanes_that_wrap_around_need_no_mask_to_be_loaded() -> None:
    wrapped = PRODUCT.replace("i * A + tl.arange(0, A)", "(i * A + tl.arange(0, A)) % n")
    wrapped = wrapped.replace("(row[:, None] < n) & (deep[None, :]", "(deep[None, :]")
    wrapped = wrapped.replace("y + row", "y + (i * A + tl.arange(0, A))", 1)
    store = "         mask=(row[:, None] < n)"
    wrapped = wrapped.replace(store, "         mask=((i * A + tl.arange(0, A))[:, None] < n)")
    found = reading(wrapped)
    assert found.tiles["A"].no_growth is None


ROWS = """
row = tl.program_id(0)
sum = 0.0
for at in range(0, n, B):
    column = at + tl.arange(0, B)
    sum += tl.sum(tl.load(x + row * n + column, mask=column < n, other=0.0), axis=0)
tl.store(y + row, sum)
"""


def test_steps_over_a_row_are_a_tile_and_the_number_of_the_row_is_told() -> None:
    found = reading(ROWS)
    assert found.tiles["B"].in_loop and found.tiles["B"].axes == ()
    assert found.numbers[0].raw


@pytest.mark.parametrize(
    ("body", "why"),
    [
        # A block that holds a whole row.
        (
            """
            row = tl.program_id(0)
            at = tl.arange(0, B)
            v = tl.load(x + row * n + at, mask=at < n, other=0.0)
            tl.store(y + row * n + at, v / tl.sum(v, axis=0), mask=at < n)
            """,
            "whole row",
        ),
        # The same of a block of the grid: each block would be divided by its own sum.
        (
            """
            at = tl.program_id(0) * B + tl.arange(0, B)
            v = tl.load(x + at, mask=at < n, other=0.0)
            tl.store(y + at, v / tl.sum(v, axis=0), mask=at < n)
            """,
            "one block alone",
        ),
        # A scan of each block.
        (
            """
            at = tl.program_id(0) * B + tl.arange(0, B)
            v = tl.load(x + at, mask=at < n, other=0.0)
            tl.store(y + at, tl.cumsum(v, axis=0), mask=at < n)
            """,
            "where tiles begin",
        ),
        # One result a block.
        (
            """
            i = tl.program_id(0)
            at = i * B + tl.arange(0, B)
            tl.store(y + i, tl.sum(tl.load(x + at, mask=at < n, other=0.0), axis=0))
            """,
            "one block alone",
        ),
        # What a step of a loop reduced is stored.
        (
            """
            for at in range(0, n, B):
                column = at + tl.arange(0, B)
                v = tl.load(x + column, mask=column < n, other=0.0)
                most = tl.max(v, axis=0)
                tl.store(y + column, v - most, mask=column < n)
            """,
            "one step reduced",
        ),
        # Lanes that no step moves.
        (
            """
            at = tl.arange(0, B)
            for start in range(0, n, B):
                v = tl.load(x + at, mask=at < n, other=0.0)
                tl.store(y + at, v, mask=at < n)
            """,
            "lanes",
        ),
        ("v = tl.arange(0, B) + tl.program_id(0) * (B // 2)\ntl.store(y + v, v)", "used as"),
        ("v = tl.arange(0, B) + tl.program_id(0) * B\nif B > 64:\n    tl.store(y + v, v)", "used"),
    ],
)
def test_what_is_no_tile_is_refused_with_the_reason(body: str, why: str) -> None:
    found = reading(body)
    assert "B" not in found.tiles
    assert why in found.refused["B"]


def test_a_branch_for_sizes_that_divide_needs_no_mask() -> None:
    found = reading(
        """
        i = tl.program_id(0)
        row = i * A + tl.arange(0, A)
        total = tl.zeros((A,), dtype=tl.float32)
        if n % B == 0:
            for at in range(0, n, B):
                deep = at + tl.arange(0, B)
                total += tl.sum(tl.load(x + row[:, None] * n + deep[None, :],
                                        mask=row[:, None] < m, other=0.0), axis=1)
        tl.store(y + row, total, mask=row < m)
        """
    )
    assert found.tiles["B"].no_growth is None
    assert found.tiles["A"].no_growth is None


def test_a_comparison_of_numbers_of_blocks_is_a_use_of_them() -> None:
    compared = PRODUCT.replace("deep = tl.arange", "if i < j:\n    return\ndeep = tl.arange", 1)
    assert {axis: uses.raw for axis, uses in reading(compared).numbers.items()} == {
        0: True,
        1: True,
    }


def test_swizzled_numbers_of_blocks_still_step_over_tiles() -> None:
    head = """
    number = tl.program_id(0)
    across = tl.cdiv(m, B)
    i = number // across
    j = number % across
    """
    body = PRODUCT.replace("i = tl.program_id(0)\nj = tl.program_id(1)\n", "")
    found = reading(dedent(head) + body)
    assert found.tiles["A"].axes == found.tiles["B"].axes == (0,)
    assert found.numbers == {}


@pytest.mark.parametrize(
    ("mask", "grows"),
    [
        ("at < n", True),
        ("(at + K) // 2 * 3 - m < n", True),
        ("at.to(tl.int64) < n", True),
        ("at % 8 < 6", False),
        ("at % (n * m) < K", False),
        ("at % (n * m) // m < K", False),
        ("(at & 7) < 6", False),
        ("n - at < m", False),
        ("-at < n", False),
    ],
)
def test_a_bound_is_of_an_index_that_grows_with_the_lanes(mask: str, grows: bool) -> None:
    for condition in (mask, f"(at >= 0) & ({mask})"):
        found = reading(f"""
            at = tl.program_id(0) * A + tl.arange(0, A)
            inside = {condition}
            inside &= at != 3
            tl.store(y + at, tl.load(x + at, mask=inside, other=0.0), mask=inside)
        """)
        assert (found.tiles["A"].no_growth is None) is grows


@pytest.mark.parametrize(
    ("more", "bounded"),
    [
        ("inside = inside & (at < n)", True),
        ("inside &= at < n", True),
        ("inside = (at < n) & inside\ninside = inside & (at != 3)", True),
        ("inside = at < n\ninside = inside & (at != 3) & (at % 8 < 6)", True),
        ("inside = inside | (at < n)", False),
        ("if m > 3:\n    inside = inside & (at < n)", False),
        ("inside = inside & (at < n)\nif m > 3:\n    inside = at % 2 < 1", False),
        ("inside = inside & (at < n)\ninside = at % 2 < 1", False),
    ],
)
def test_a_mask_is_bounded_by_what_narrows_it(more: str, bounded: bool) -> None:
    lines = f"""\
at = tl.program_id(0) * A + tl.arange(0, A)
inside = at % 8 < 6
{more}
tl.store(y + at, tl.load(x + at, mask=inside, other=0.0), mask=inside)
"""
    assert (reading(lines).tiles["A"].no_growth is None) is bounded


SUMMED = """
row = tl.program_id(0)
total = {start}
for at in range(0, K, A):
    lane = at + tl.arange(0, A)
    total += tl.load(x + row * K + lane, mask=lane < K, other=0.0)
tl.store(y + row, tl.sum(total, axis=0))
"""


@pytest.mark.parametrize(
    "start", ["tl.zeros([A], dtype=tl.float32)", "tl.full((A,), 0.0, tl.float32).to(tl.float32)"]
)
def test_lanes_that_start_at_zero_are_cut_at_will(start: str) -> None:
    assert "A" in reading(SUMMED.format(start=start)).tiles


@pytest.mark.parametrize(
    "start", ["tl.zeros([A], dtype=tl.float32) + 1.0", "tl.full([A], 0.5, tl.float32)"]
)
def test_a_start_that_counts_once_a_lane_is_kept(start: str) -> None:
    found = reading(SUMMED.format(start=start))
    assert "A" not in found.tiles
    assert "starts at" in str(found)
