"""The search for small sizes: as small as runs, then large enough to cover what matters."""

from __future__ import annotations

from collections.abc import Callable

from warpwright.interpreter.sizes.shrink_search import Limits, Search, Sizes, SizesTried

ROWS, INNER, COLUMNS = 4096, 2048, 1024
TILE = 32


def product(sizes: Sizes) -> SizesTried:
    """A matrix product with tiles of 32: a grid of two axes and one loop."""
    rows, inner, columns = (-(-sizes.get(n, n) // TILE) for n in (ROWS, INNER, COLUMNS))
    covered = {("product", 0, "grid", 0)} if rows > 1 else set()
    covered |= {("product", 0, "grid", 1)} if columns > 1 else set()
    covered |= {("product", 0, "loop", 0)} if inner > 1 else set()
    blocks = rows * columns
    return SizesTried(frozenset({"product"}), blocks, blocks * inner, frozenset(covered))


def search(
    evaluate: Callable[[Sizes], SizesTried | None], limits: Limits | None = None
) -> tuple[Sizes, SizesTried]:
    goal = evaluate({})
    assert goal is not None
    found = Search(evaluate, goal, limits or Limits()).run((ROWS, INNER, COLUMNS))
    assert found is not None
    return found


def test_every_dimension_gets_two_tiles_and_a_partial_last_one() -> None:
    sizes, attempt = search(product)
    assert attempt.covered == product({}).covered
    assert 4 <= attempt.blocks <= 8
    assert all(size > TILE and size % TILE for size in sizes.values())


def test_aligned_sizes_keep_the_tile_that_divides_the_full_ones() -> None:
    found = Search(product, product({}), aligned=TILE).run((ROWS, INNER, COLUMNS))
    assert found is not None
    sizes, attempt = found
    assert attempt.covered == product({}).covered
    assert all(size % TILE == 0 for size in sizes.values())
    assert len(set(sizes.values())) == 3


def test_a_size_that_no_tile_divides_shrinks_as_before() -> None:
    def any_size(sizes: Sizes) -> SizesTried:
        return SizesTried(frozenset({"kernel"}), 1, 1, frozenset())

    found = Search(any_size, any_size({}), aligned=128).run((1001, 96))
    assert found is not None
    assert found[0][1001] < 32
    assert found[0][96] % 32 == 0


def test_different_sizes_stay_different() -> None:
    sizes, _ = search(product)
    assert len(set(sizes.values())) == 3


def test_a_small_size_is_none_of_the_sizes_that_do_not_shrink() -> None:
    channels, taps = 64, 7

    def layer(sizes: Sizes) -> SizesTried | None:
        if sizes.get(channels, channels) < taps:  # a filter of 7 taps needs 7 inputs
            return None
        return SizesTried(frozenset({"layer"}), 1, 1, frozenset())

    def smallest(fixed: frozenset[int]) -> int:
        goal = layer({})
        assert goal is not None
        found = Search(layer, goal, fixed=fixed).run((channels,))
        assert found is not None
        return found[0][channels]

    assert smallest(frozenset()) == taps
    assert smallest(frozenset({2, taps})) > taps


def test_a_size_that_does_not_shrink_is_taken_where_no_other_runs() -> None:
    def only_seven(sizes: Sizes) -> SizesTried | None:
        size = sizes.get(ROWS, ROWS)
        return SizesTried(frozenset({"layer"}), 1, 1, frozenset()) if size in (7, ROWS) else None

    goal = only_seven({})
    assert goal is not None
    found = Search(only_seven, goal, fixed=frozenset({7})).run((ROWS,))
    assert found is not None and found[0] == {ROWS: 7}


def test_sizes_that_stand_in_a_ratio_shrink_together() -> None:
    def doubled(sizes: Sizes) -> SizesTried | None:
        narrow, wide = sizes.get(INNER, INNER), sizes.get(ROWS, ROWS)
        blocks = narrow * sizes.get(COLUMNS, COLUMNS)
        if wide != 2 * narrow:
            return None
        return SizesTried(frozenset({"double"}), blocks, blocks, frozenset())

    sizes, attempt = search(doubled)
    assert sizes[ROWS] == 2 * sizes[INNER]
    assert attempt.steps <= Limits().steps


def test_a_size_that_the_constructor_fixes_stays() -> None:
    sizes, _ = search(lambda sizes: product(sizes) if INNER not in sizes else None)
    assert set(sizes) == {ROWS, COLUMNS}


def test_a_size_with_a_divisor_gets_a_multiple_of_it() -> None:
    sizes, attempt = search(
        lambda sizes: product(sizes) if sizes.get(INNER, INNER) % 16 == 0 else None
    )
    assert sizes[INNER] % 16 == 0
    assert attempt.covered == product({}).covered


def test_sizes_on_which_another_kernel_runs_are_not_taken() -> None:
    def evaluate(sizes: Sizes) -> SizesTried | None:
        attempt = product(sizes)
        small = sizes.get(ROWS, ROWS) * sizes.get(INNER, INNER) < 100_000
        kernels = frozenset({"other"}) if small else attempt.kernels
        return SizesTried(kernels, attempt.blocks, attempt.steps, attempt.covered)

    sizes, attempt = search(evaluate)
    assert attempt.kernels == {"product"}
    assert sizes.get(ROWS, ROWS) * sizes.get(INNER, INNER) >= 100_000


def test_the_budget_of_steps_bounds_the_growth() -> None:
    def costly(sizes: Sizes) -> SizesTried:
        attempt = product(sizes)
        return SizesTried(attempt.kernels, attempt.blocks, attempt.steps * 900, attempt.covered)

    _, attempt = search(costly, Limits(steps=1000, stretch=2))
    assert attempt.steps <= 2000
    assert attempt.covered < product({}).covered


def test_nothing_smaller_is_no_result() -> None:
    goal = product({})
    assert Search(lambda sizes: None if sizes else goal, goal).run((ROWS,)) is None


def test_time_ends_the_search_with_the_best_so_far() -> None:
    tries = 0

    def evaluate(sizes: Sizes) -> SizesTried:
        nonlocal tries
        tries += 1
        return product(sizes)

    found = Search(evaluate, product({}), Limits(), lambda: tries > 2).run((ROWS, INNER, COLUMNS))
    assert found is not None
    assert tries == 3


def test_no_choice_of_sizes_is_tried_twice() -> None:
    seen: list[tuple[tuple[int, int], ...]] = []

    def evaluate(sizes: Sizes) -> SizesTried:
        seen.append(tuple(sorted(sizes.items())))
        return product(sizes)

    Search(evaluate, product({}), Limits()).run((ROWS, INNER, COLUMNS))
    assert len(seen) == len(set(seen))
