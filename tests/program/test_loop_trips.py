"""Trips of a kernel's loops from its bounds and a launch's values."""

from __future__ import annotations

import ast

import pytest

from warpwright.program.loop_trips import body_runs, loop_trips


def trips(body: str, **values: object) -> list[tuple[int, int | None]]:
    (function,) = ast.parse(f"def kernel():\n{body}").body
    assert isinstance(function, ast.FunctionDef)
    return [(loop.depth, loop.trips) for loop in loop_trips(function, values)]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("range(0, K, BLOCK)", 4),
        ("range(tl.cdiv(K, BLOCK))", 4),
        ("tl.range(0, K, BLOCK, num_stages=3)", 4),
        ("tl.static_range(3)", 3),
        ("range(-K, 0, 20)", 5),
        ("range(min(K, 7))", 7),
        ("range(tl.load(p))", None),
        ("range(0, K, 0)", None),
        ("values", None),
    ],
)
def test_bounds_are_evaluated(bounds: str, expected: int | None) -> None:
    assert trips(f" for k in {bounds}:\n  pass", K=100, BLOCK=32) == [(0, expected)]


def test_local_names_are_followed_until_they_change() -> None:
    body = (
        " steps = K // 8\n for a in range(steps): pass\n steps += 1\n for b in range(steps): pass"
    )
    assert trips(body, K=80) == [(0, 10), (0, None)]


def test_block_zero_stands_for_all() -> None:
    assert trips(" for k in range(tl.program_id(0), K, 4): pass", K=16) == [(0, 4)]


def test_nested_loops_multiply_and_neighbours_do_not() -> None:
    (function,) = ast.parse(
        "def kernel():\n"
        " for a in range(3):\n  for b in range(5): pass\n"
        " for c in range(7): pass\n"
        " while x:\n  for d in range(9): pass\n"
    ).body
    assert isinstance(function, ast.FunctionDef)
    loops = loop_trips(function, {})
    assert [(loop.depth, loop.trips) for loop in loops] == [
        (0, 3),
        (1, 5),
        (0, 7),
        (0, None),
        (1, 9),
    ]
    assert body_runs(loops) == 15


def test_a_kernel_without_loops_runs_its_body_once() -> None:
    assert body_runs(()) == 1
