"""The statistics against values known from elsewhere, and against simulation."""

from __future__ import annotations

import math
import random
from statistics import fmean, median, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.bench.statistics.gain import (
    MIN_ROUNDS,
    block_length,
    estimate,
    median_variance,
    percent,
    student_probability,
    student_quantile,
    timer_step_us,
)


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),
    [  # printed tables of Student's t
        (0.975, 1, 12.706),
        (0.995, 2, 9.925),
        (0.975, 3, 3.182),
        (0.995, 4, 4.604),
        (0.99, 5, 3.365),
        (0.999, 9, 4.297),
        (0.975, 30, 2.042),
    ],
)
def test_student_quantiles_are_those_of_the_tables(
    probability: float, degrees: int, value: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(value, abs=6e-4)


@given(st.integers(1, 40), st.floats(0.5, 0.9999))
def test_the_quantile_inverts_the_distribution(degrees: int, probability: float) -> None:
    t = student_quantile(probability, degrees)
    assert student_probability(t, degrees) == pytest.approx(probability, abs=1e-9)


def test_the_bootstrap_of_a_median_agrees_with_repeated_sampling() -> None:
    """Independent normal values: the mean estimate is within a fifth of the true variance."""
    generator = random.Random(1)
    samples = [[generator.gauss(0, 1) for _ in range(60)] for _ in range(400)]
    truth = pvariance(map(median, samples))
    assert fmean(map(median_variance, samples[:60])) == pytest.approx(truth, rel=0.2)


def test_blocks_see_that_neighbours_resemble_each_other() -> None:
    """A slow walk has a larger error of its median than the same values in random order."""
    generator = random.Random(2)
    wider = 0
    for _ in range(40):
        walk = [0.0]
        for _ in range(59):
            walk.append(0.8 * walk[-1] + generator.gauss(0, 1))
        shuffled = generator.sample(walk, len(walk))
        wider += median_variance(walk) > median_variance(shuffled)
    assert wider >= 35


@given(st.integers(MIN_ROUNDS, 2000))
def test_a_block_is_far_shorter_than_the_series(rounds: int) -> None:
    assert 2 <= block_length(rounds) <= rounds / 2


RATIOS = st.lists(
    st.lists(st.floats(-0.5, 0.5), min_size=8, max_size=8).map(lambda pair: [pair]),
    min_size=1,
    max_size=6,
)


@given(RATIOS, st.floats(1.0, 20.0))
def test_noise_of_any_factor_widens_the_error_by_that_factor(
    groups: list[list[list[float]]], factor: float
) -> None:
    wider = [[[factor * ratio for ratio in pair] for pair in group] for group in groups]
    before, after = estimate(groups), estimate(wider)
    assert before is not None
    assert after is not None
    assert after.standard_error == pytest.approx(factor * before.standard_error, abs=1e-12)
    assert after.standard_error >= before.standard_error - 1e-12


@given(RATIOS, st.floats(-0.3, 0.3))
def test_a_shift_moves_the_gain_and_leaves_the_error(
    groups: list[list[list[float]]], shift: float
) -> None:
    moved = [[[ratio + shift for ratio in pair] for pair in group] for group in groups]
    before, after = estimate(groups), estimate(moved)
    assert before is not None
    assert after is not None
    assert after.log_gain == pytest.approx(before.log_gain + shift, abs=1e-12)
    assert after.standard_error == pytest.approx(before.standard_error, abs=1e-12)


def test_the_error_between_processes_is_in_the_interval() -> None:
    """Groups that agree within themselves and not with each other: the spread between counts."""
    groups = [[[0.03] * 8], [[0.01] * 8], [[0.02] * 8]]
    found = estimate(groups)
    assert found is not None
    assert found.log_gain == pytest.approx(0.02)
    assert found.standard_error == pytest.approx(0.01 / math.sqrt(3))
    assert found.degrees == 2


def test_groups_that_agree_by_luck_keep_the_error_within_them() -> None:
    within = [-0.02, 0.02, -0.01, 0.01, 0.0, 0.03, -0.03, 0.0]
    found = estimate([[within], [within]])
    assert found is not None
    assert found.standard_error > 0.001


def test_worker_pairs_that_share_a_worker_do_not_average_out() -> None:
    noisy = [-0.02, 0.02, -0.01, 0.01, 0.0, 0.03, -0.03, 0.0]
    one, two = estimate([[noisy]]), estimate([[noisy, noisy]])
    assert one is not None
    assert two is not None
    assert two.standard_error == pytest.approx(one.standard_error)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Six groups with offsets and noise: a 90 % interval misses in 5 to 13 % of 400 trials."""
    generator = random.Random(3)
    missed = 0
    for _ in range(400):
        offsets = [generator.gauss(0.02, 0.004) for _ in range(6)]
        groups = [[[o + generator.gauss(0, 0.005) for _ in range(8)]] for o in offsets]
        found = estimate(groups)
        assert found is not None
        low, high = found.interval(0.9)
        missed += not low <= 0.02 <= high
    assert 0.05 * 400 <= missed <= 0.13 * 400


@pytest.mark.parametrize(
    "groups",
    [[], [[]], [[[0.1] * (MIN_ROUNDS - 1)]], [[[0.1] * 8, [0.1]]], [[[0.1, math.nan, 0.1, 0.1]]]],
)
def test_too_few_ratios_or_one_that_is_no_number_give_no_estimate(
    groups: list[list[list[float]]],
) -> None:
    assert estimate(groups) is None


def test_the_timer_step_is_the_smallest_difference() -> None:
    assert timer_step_us([10.0, 12.0, 11.5, 10.0]) == 0.5
    assert timer_step_us([10.0, 10.0]) == 0.0


def test_a_log_gain_in_percent_is_the_ratio_of_times() -> None:
    assert percent(math.log(1.25)) == pytest.approx(25.0)
