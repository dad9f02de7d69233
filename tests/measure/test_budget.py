"""What the profiles cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.measure.budget import BUDGETS, DEFAULT, QUICK, THOROUGH

KERNEL_US = 2000.0


def test_the_default_screens_a_2_ms_kernel_in_a_third_of_a_second() -> None:
    assert DEFAULT.screening_us(KERNEL_US) <= 333_000


def test_the_default_times_the_finalists_of_a_2_ms_kernel_in_5_to_10_seconds() -> None:
    assert 5e6 <= DEFAULT.finalists_us(KERNEL_US) <= 10e6


def test_profiles_are_ordered_by_what_they_spend() -> None:
    for kernel_us in (10.0, KERNEL_US, 100_000.0):
        spent = [budget.finalists_us(kernel_us) for budget in (QUICK, DEFAULT, THOROUGH)]
        assert spent == sorted(spent)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_bursts_fill_their_time_within_their_bounds(budget) -> None:
    assert budget.calls(1.0) == budget.max_calls
    assert budget.calls(1e6) == budget.min_calls
    assert budget.calls(KERNEL_US) * KERNEL_US >= budget.burst_us


@pytest.mark.parametrize("call_us", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_plans_nothing(call_us: float) -> None:
    with pytest.raises(ValueError, match="not the time of a call"):
        DEFAULT.calls(call_us)


@pytest.mark.parametrize("looks", [(), (6, 6), (6, 4)])
def test_looks_that_do_not_grow_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="groups that grow"):
        replace(DEFAULT, looks=looks)


def test_an_odd_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="in twos"):
        replace(DEFAULT, rounds=5)
