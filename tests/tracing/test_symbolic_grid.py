"""Formulas of grids from calls, and what a grid size says of unknown sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from warpwright.tracing.symbolic_grid import Formula, Quotient, Sample, find_formula, solve

CALLS = (
    {"batch": 37, "rows": 41, "wide": 43, "fixed": 96},
    {"batch": 1031, "rows": 257, "wide": 67, "fixed": 96},
    {"batch": 67, "rows": 4099, "wide": 1033, "fixed": 96},
)
TILES = ({"TILE": 32, "STEP": 64}, {"TILE": 128, "STEP": 32})


def cdiv(a: int, b: int) -> int:
    return -(-a // b)


def samples(extent: Callable[[Mapping[str, int], Mapping[str, int]], int]) -> list[Sample]:
    return [Sample(extent(call, tile), call, tile) for call in CALLS for tile in TILES]


@pytest.mark.parametrize(
    ("extent", "text"),
    [
        (lambda a, m: 7, "7"),
        (lambda a, m: a["batch"], "batch"),
        (lambda a, m: a["batch"] * a["rows"], "batch*rows"),
        (lambda a, m: cdiv(a["rows"], m["TILE"]), "cdiv(rows, TILE)"),
        (lambda a, m: cdiv(a["fixed"], m["STEP"]), "cdiv(fixed, STEP)"),
        (
            lambda a, m: cdiv(a["batch"] * a["rows"] * a["wide"], m["STEP"]),
            "cdiv(batch*rows*wide, STEP)",
        ),
        (
            lambda a, m: cdiv(a["rows"], m["TILE"]) * cdiv(a["wide"], m["STEP"]),
            "cdiv(rows, TILE)*cdiv(wide, STEP)",
        ),
    ],
)
def test_the_usual_forms_are_found(
    extent: Callable[[Mapping[str, int], Mapping[str, int]], int], text: str
) -> None:
    assert str(find_formula(samples(extent))) == text


def test_another_form_is_not_made_up() -> None:
    assert find_formula(samples(lambda a, m: a["rows"] % 11 + a["wide"] % 7 + 1)) is None


KNOWN = {"fixed": 96}
GRID = (Formula((Quotient(("batch", "rows"), "TILE"),)), Formula((Quotient(("fixed",), "STEP"),)))


def test_a_grid_size_bounds_what_is_unknown() -> None:
    found = solve(GRID, 2 * 1000, {"TILE": 32, "STEP": 64}, KNOWN)
    assert found.possible
    assert found.text == "batch*rows in (31,968, 32,000]"


def test_a_grid_size_that_does_not_divide_rules_a_config_out() -> None:
    found = solve(GRID, 2 * 1000, {"TILE": 32, "STEP": 32}, KNOWN)
    assert not found.possible
    assert "not divisible by 3" in found.text


def test_known_factors_are_taken_out_of_a_product() -> None:
    axes = (Formula((Quotient(("rows", "fixed")),)),)
    assert solve(axes, 960, {}, KNOWN).text == "rows = 10"
    assert not solve(axes, 961, {}, KNOWN).possible


def test_a_quotient_that_no_size_gives_rules_a_config_out() -> None:
    axes = (Formula((Quotient(("rows", "fixed"), "TILE"),)),)
    # 96 rows cross 3 tiles of 32 at a time: 4 blocks never happen
    assert not solve(axes, 4, {"TILE": 32}, KNOWN).possible
    assert solve(axes, 6, {"TILE": 32}, KNOWN).text == "rows in (1, 2]"


def test_two_unknown_axes_give_their_product() -> None:
    axes = (Formula((Quotient(("rows",)),)), Formula((Quotient(("wide",)),)))
    assert solve(axes, 12, {}, {}).text == "rows * wide = 12"


def test_a_grid_that_is_certain_must_match() -> None:
    assert solve((Formula((), 12),), 12, {}, {}).possible
    assert not solve((Formula((), 12),), 24, {}, {}).possible


def test_a_grid_without_formula_rules_nothing_out() -> None:
    assert solve((None,), 12, {}, {}).possible
