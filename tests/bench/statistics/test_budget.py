"""What the profiles cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpwright.bench.statistics.budget import BUDGETS, FLUSH_US, NORMAL, QUICK, THOROUGH, Budget

KERNEL_US = 2000.0
BURST_OVERHEAD_US = 4000.0
"""Around a burst: the message to the worker, fresh inputs, a synchronisation. To be generous."""
DECIDING = Path(__file__).parents[3] / "docs" / "deciding.md"


def bursts_us(bursts: int, calls: int, call_us: float) -> float:
    return bursts * (BURST_OVERHEAD_US + calls * (call_us + FLUSH_US))


def screening_us(budget: Budget, call_us: float) -> float:
    """To screen one candidate once, without loading it."""
    calls = budget.screening_calls(call_us)
    return budget.warm_up_us + bursts_us(2 * budget.screening_rounds, calls, call_us)


def finalists_us(budget: Budget, call_us: float) -> float:
    """The finalists' rounds until the first look, without starting workers."""
    worker_us = budget.warm_up_us + bursts_us(budget.rounds, budget.calls(call_us), call_us)
    return budget.looks[0] * (2 + budget.finalists) * worker_us


def test_the_page_on_deciding_says_what_the_profiles_cost() -> None:
    row = next(line for line in DECIDING.read_text().splitlines() if "2 ms kernel:" in line)
    stated = [tuple(map(float, cell.split("/"))) for cell in row.strip("| ").split("|")[1:]]
    costs_us = [(screening_us(b, KERNEL_US), finalists_us(b, KERNEL_US)) for b in BUDGETS.values()]
    assert stated == [tuple(float(f"{us / 1e6:.2g}") for us in pair) for pair in costs_us]


def test_the_default_screens_a_2_ms_kernel_in_a_third_of_a_second() -> None:
    assert screening_us(NORMAL, KERNEL_US) <= 333_000


def test_the_default_times_the_finalists_of_a_2_ms_kernel_in_5_to_10_seconds() -> None:
    assert 5e6 <= finalists_us(NORMAL, KERNEL_US) <= 10e6


def test_profiles_are_ordered_by_what_they_spend() -> None:
    for kernel_us in (10.0, KERNEL_US, 100_000.0):
        spent = [finalists_us(budget, kernel_us) for budget in (QUICK, NORMAL, THOROUGH)]
        assert spent == sorted(spent)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_bursts_fill_their_time_within_their_bounds(budget) -> None:
    assert budget.calls(1.0) == budget.max_calls
    assert budget.calls(1e6) == budget.min_calls
    assert budget.calls(KERNEL_US) * KERNEL_US >= budget.burst_us


@pytest.mark.parametrize("call_us", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_plans_nothing(call_us: float) -> None:
    with pytest.raises(ValueError, match="not the time of a call"):
        NORMAL.calls(call_us)


@pytest.mark.parametrize("looks", [(), (6, 6), (6, 4)])
def test_looks_that_do_not_grow_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="groups that grow"):
        replace(NORMAL, looks=looks)


def test_an_odd_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="in twos"):
        replace(NORMAL, rounds=5)
