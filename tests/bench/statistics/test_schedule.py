"""Plans: complete, random yet balanced, and paired only within a round."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.bench.statistics.budget import BUDGETS, NORMAL, QUICK
from warpwright.bench.statistics.schedule import (
    PARENT,
    PlannedBurst,
    pair_up,
    plan_finalists,
    plan_screening,
)
from warpwright.types.measurement import Burst

FINALISTS = ["one", "two"]


def ran(planned: tuple[PlannedBurst, ...]) -> list[Burst]:
    seats = {seat: number for number, seat in enumerate(dict.fromkeys(p.seat for p in planned))}
    return [
        Burst(p.seat.program, seats[p.seat], p.order, (1.0,) * p.calls, 100.0 * p.calls)
        for p in planned
    ]


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_every_round_holds_every_program_once_and_the_parent_twice(budget) -> None:
    planned = plan_finalists(budget, FINALISTS, 2000.0, seed=1)
    rounds = Counter((p.seat.group, p.round, p.seat.program) for p in planned)
    assert len({(p.seat.group, p.round) for p in planned}) == budget.groups * budget.rounds
    assert {count for key, count in rounds.items() if key[2] == PARENT} == {2}
    assert {count for key, count in rounds.items() if key[2] != PARENT} == {1}


def test_orders_count_up_and_groups_follow_each_other() -> None:
    planned = plan_finalists(NORMAL, FINALISTS, 2000.0, seed=1, first_order=50)
    assert [p.order for p in planned] == list(range(50, 50 + len(planned)))
    groups = [p.seat.group for p in planned]
    assert groups == sorted(groups)


@given(st.integers(0, 1000))
def test_every_second_round_is_the_reverse_of_the_one_before(seed: int) -> None:
    """So every program stands as early on average as every other."""
    planned = plan_finalists(QUICK, FINALISTS, 2000.0, seed=seed)
    places: Counter = Counter()
    for number, plan in enumerate(planned):
        places[plan.seat] += number % 4
    assert set(places.values()) == {QUICK.rounds * 3 // 2}


def test_the_order_is_random_and_the_seed_repeats_it() -> None:
    orders = {
        tuple(p.seat.program for p in plan_screening(NORMAL, "one", 2000.0, seed=seed))
        for seed in range(40)
    }
    assert len(orders) > 4
    again = [plan_screening(NORMAL, "one", 2000.0, seed=7) for _ in range(2)]
    assert again[0] == again[1]


def test_bursts_are_paired_with_every_copy_of_the_parent_of_their_round() -> None:
    planned = plan_finalists(NORMAL, FINALISTS, 2000.0, seed=3)
    found = pair_up(planned, ran(planned))
    whole = NORMAL.groups * NORMAL.rounds
    assert {name: len(pairs) for name, pairs in found.candidates.items()} == {
        "one": 2 * whole,
        "two": 2 * whole,
    }
    assert len(found.same) == whole
    round_of = {p.order: (p.seat.group, p.round) for p in planned}
    for pair in [*found.same, *found.candidates["one"], *found.candidates["two"]]:
        assert round_of[pair.parent.order] == round_of[pair.candidate.order]
        assert pair.parent.worker != pair.candidate.worker


def test_a_burst_that_never_came_leaves_only_its_own_pairs_out() -> None:
    planned = plan_finalists(NORMAL, FINALISTS, 2000.0, seed=3)
    lost = next(p.order for p in planned if p.seat.program == "one")
    found = pair_up(planned, [burst for burst in ran(planned) if burst.order != lost])
    whole = NORMAL.groups * NORMAL.rounds
    assert len(found.candidates["one"]) == 2 * whole - 2
    assert len(found.candidates["two"]) == 2 * whole
    assert len(found.same) == whole


def test_screening_pairs_a_candidate_with_one_parent() -> None:
    planned = plan_screening(NORMAL, "one", 2000.0, seed=3)
    found = pair_up(planned, ran(planned))
    assert len(found.candidates["one"]) == NORMAL.screening_rounds
    assert found.same == ()


@pytest.mark.parametrize("names", [[PARENT], ["one", "one"]])
def test_candidates_need_names_of_their_own(names: list[str]) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        plan_finalists(NORMAL, names, 2000.0, seed=1)
