"""Which ways a kernel's branches go, from its arguments."""

from __future__ import annotations

import ast
from textwrap import dedent

from warpwright.program.branch_sites import CHOICE, TEST, branch_sites, observed
from warpwright.program.ranges import RangeReading, read_ranges

KERNEL = dedent(
    """
    def helper(size, WIDTH):
        if size % WIDTH == 0:
            return 1
        return 2

    def kernel(x_ptr, size, WIDTH, PARTS):
        whole = helper(size, WIDTH)
        first = tl.program_id(0) * WIDTH
        for start in range(first, tl.minimum(size, 100), WIDTH * tl.num_programs(0)):
            inside = start + tl.arange(0, WIDTH) < size
            value = tl.load(x_ptr + start, mask=inside)
            if value > 0:
                whole += 1
        if PARTS is None or size > PARTS:
            whole = 3
    """
)


def reading(grid: int = 1, **values: object) -> RangeReading:
    functions = {n.name: n for n in ast.parse(KERNEL).body if isinstance(n, ast.FunctionDef)}
    return read_ranges("kernel", functions, values, [grid], {})


def ways(found: RangeReading, text: str) -> set[bool]:
    return {way for _, _, site, way in found.outcomes | found.comparisons if site == text}


def test_a_test_on_sizes_has_one_way_and_one_on_loads_is_undecided() -> None:
    assert ways(reading(size=64, WIDTH=16, PARTS=4), "size % WIDTH == 0") == {True}
    found = reading(size=65, WIDTH=16, PARTS=4)
    assert ways(found, "size % WIDTH == 0") == {False}
    assert {text for _, _, text, _ in found.undecided} == {"value > 0"}


def test_a_choice_tells_which_argument_decides() -> None:
    assert ways(reading(size=64, WIDTH=16, PARTS=4), "tl.minimum(size, 100)") == {True}
    assert ways(reading(size=164, WIDTH=16, PARTS=4), "tl.minimum(size, 100)") == {False}


def test_a_mask_goes_both_ways_where_a_tile_is_partial() -> None:
    mask = "start + tl.arange(0, WIDTH) < size"
    assert ways(reading(size=15, WIDTH=16, PARTS=4), mask) == {True, False}
    assert ways(reading(size=16, WIDTH=16, PARTS=4), mask) == {True}


def test_trips_count_those_of_one_of_several_blocks() -> None:
    (trips,) = reading(grid=2, size=96, WIDTH=16, PARTS=4).trips.values()
    assert trips == 3


def test_observing_keeps_lines_and_tells_every_site() -> None:
    tree = observed(ast.parse(KERNEL))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    told = [ast.literal_eval(call.args[0]) for call in calls if call.func.id in (TEST, CHOICE)]
    expected = {(site.line, site.kind, site.text) for site in branch_sites(ast.parse(KERNEL))}
    assert set(told) == expected
    assert len(told) == 5


def test_a_tie_is_told_where_a_branch_could_take_one_lane_too_many() -> None:
    text = dedent(
        """
        def kernel(x_ptr, size, WIDTH):
            first = tl.program_id(0) * WIDTH
            inside = first + WIDTH <= size
            inside = inside & (first > 0)
            mask = first + tl.arange(0, WIDTH) + 1 <= size
            if inside:
                tl.load(x_ptr)
        """
    )
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    functions = {"kernel": function}

    def ties(size: int) -> set[str]:
        found = read_ranges("kernel", functions, {"size": size, "WIDTH": 16}, [-(-size // 16)], {})
        return {text for _, kind, text, _ in found.comparisons if kind == "tie"}

    assert ties(48) == {"first + WIDTH <= size", "first > 0"}  # of no mask: no branch hangs on it
    assert ties(47) == {"first > 0"}
