"""Further sets of sizes: what must be run gets one, also where it costs more than others may."""

from __future__ import annotations

from warpwright.interpreter.sizes.shrink_search import Item, Sizes
from warpwright.interpreter.sizes.sizes_search import Look, SetLimits, SetSearch

BASE: Sizes = {512: 3}
VALUES = {512: (3, 12, 17, 67)}
INSIDE: Item = ("way", "candidate", 7, "if", "inside", True)


def look(sizes: Sizes) -> Look:
    """A branch that needs ten elements a side, and steps that grow with the area."""
    size = sizes.get(512, 512)
    items: set[Item] = {INSIDE} if size >= 10 else set()
    return Look(frozenset(items), 50 * size * size, size * size)


def chosen(must: bool, **limits: int) -> list[Sizes]:
    search = SetSearch(
        look,
        VALUES,
        frozenset(),
        SetLimits(**limits),
        must=(lambda item: item == INSIDE) if must else lambda _: False,
    )
    return [sizes for sizes, _ in search.run(BASE, frozenset())]


def test_the_cheapest_set_that_takes_an_open_way_is_added() -> None:
    assert chosen(must=True) == [{512: 12}]


def test_other_sets_stay_within_what_a_set_may_cost() -> None:
    assert chosen(must=False) == []


def test_a_set_that_costs_too_much_is_not_added() -> None:
    assert chosen(must=True, dear_steps=7_000) == []
    assert chosen(must=True, elements=100) == []
    assert chosen(must=True, dear_sets=0) == []


def test_a_way_that_a_cheap_set_takes_needs_no_dear_one() -> None:
    search = SetSearch(
        lambda sizes: Look(look(sizes).items, 10, 10), VALUES, frozenset(), must=lambda _: True
    )
    assert len(search.run(BASE, frozenset())) == 1


def test_a_set_that_must_be_run_is_made_cheaper_first() -> None:
    def wide(sizes: Sizes) -> Look:
        width, rows = sizes.get(1024, 1024), sizes.get(64, 64)
        items: set[Item] = {INSIDE} if width >= 300 else set()
        return Look(frozenset(items), width * rows, width * rows)

    search = SetSearch(
        wide,
        {1024: (5, 67, 320), 64: (2, 7, 50)},
        frozenset(),
        must=lambda item: item == INSIDE,
    )
    found = search.run({1024: 5, 64: 50}, frozenset())
    assert [sizes for sizes, _ in found] == [{1024: 320, 64: 2}]
