"""Who becomes a finalist, and which finalist wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic import pairs

from warpwright.bench.statistics.budget import NORMAL
from warpwright.bench.statistics.family import (
    choose_again,
    choose_finalists,
    decide_finalists,
    screened_gain_pct,
    screening_error_pct,
)
from warpwright.types.measurement import Outcome

SAME = pairs(1.0, seed=99, first_worker=1000)


def screened(ratio: float, seed: int = 0) -> list:
    return pairs(ratio, seed=seed, groups=1, rounds=6)


def test_the_fastest_become_finalists_best_first() -> None:
    gains = {"slow": 0.95, "good": 1.05, "better": 1.055, "same": 1.0, "fair": 1.045}
    found = choose_finalists({name: screened(gain) for name, gain in gains.items()}, NORMAL)
    assert found == ["better", "good"]


def test_one_far_ahead_goes_alone() -> None:
    found = choose_finalists({"ahead": screened(1.2), "behind": screened(1.1)}, NORMAL)
    assert found == ["ahead"]


def test_one_hardly_slower_gets_its_chance_since_the_parents_worker_may_be_a_lucky_one() -> None:
    assert choose_finalists({"near": screened(0.995)}, NORMAL) == ["near"]


def test_nothing_faster_makes_no_finalist() -> None:
    assert choose_finalists({"slow": screened(0.9)}, NORMAL) == []


def test_unusable_timings_make_no_finalist() -> None:
    broken = screened(2.0)
    broken[0] = replace(broken[0], candidate=replace(broken[0].candidate, times_us=(0.0,)))
    assert screened_gain_pct(broken) is None
    assert choose_finalists({"broken": broken, "none": []}, NORMAL) == []


def screenings(*ratios: float, seed: int = 0) -> list:
    """A candidate in one worker after the other, each with a gain of its own."""
    return [
        pair
        for number, ratio in enumerate(ratios)
        for pair in pairs(
            ratio,
            seed=seed + number,
            groups=1,
            rounds=6,
            noise=0.0002,
            worker_noise=0.0,
            first_worker=10 * number,
        )
    ]


def test_those_near_the_best_are_screened_twice_and_those_far_from_it_once() -> None:
    once = {"best": screenings(1.2), "near": screenings(1.18), "far": screenings(1.1)}
    assert choose_again(once, NORMAL) == ["best", "near"]
    assert choose_again({"best": screenings(1.2), "far": screenings(1.1)}, NORMAL) == []


def test_screenings_that_agree_need_no_third() -> None:
    twice = {f"c{n}": screenings(gain, gain + 0.001) for n, gain in enumerate((1.03, 1.02, 1.01))}
    assert choose_again(twice, NORMAL) == []


def test_of_screenings_that_disagree_the_better_half_goes_on() -> None:
    """By 4 % from worker to worker, in turns, so that no shift of all explains it."""
    twice = {
        f"c{n}": screenings(1.0 + n / 200 + way, 1.0 + n / 200 - way, seed=7 * n)
        for n in range(8)
        for way in [0.02 if n % 2 else -0.02]
    }
    assert choose_again(twice, NORMAL) == ["c7", "c6", "c5", "c4"]


def test_the_error_of_a_screening_is_that_of_the_mean_of_its_workers() -> None:
    """Offsets of ±2 % about each own mean: variance 4·10⁻⁴ · 8 · 2 / 7, over two workers."""
    made = [
        screenings(1 + way, 1 - way, seed=7 * n)
        for n in range(8)
        for way in [0.02 if n % 2 else -0.02]
    ]
    assert screening_error_pct(made) == pytest.approx(100 * (16 / 7 * 4e-4 / 2) ** 0.5, rel=0.03)


def test_a_shift_of_a_whole_screening_leaves_the_order_and_is_no_error() -> None:
    error_pct = screening_error_pct([screenings(1.0, 1.05), screenings(1.02, 1.07, seed=7)])
    assert error_pct is not None and error_pct < 0.2


@pytest.mark.parametrize("made", [[], [screenings(1.0, 1.0)], [screenings(1.0), screenings(1.0)]])
def test_one_screening_or_one_candidate_shows_no_error(made: list) -> None:
    assert screening_error_pct(made) is None


def test_finalists_come_from_those_that_were_screened_most_often() -> None:
    found = choose_finalists(
        {"lucky once": screenings(1.06), "a": screenings(1.05, 1.05), "b": screenings(1.05, 1.045)},
        NORMAL,
    )
    assert found == ["a", "b"]


def test_a_gain_within_the_noise_leaves_the_plan_undecided() -> None:
    open_one = {"wild": pairs(1.3, seed=1, worker_noise=0.3)}
    assert decide_finalists(open_one, SAME, tried=2).undecided
    assert not decide_finalists({"good": pairs(1.05, seed=2)}, SAME, tried=2).undecided
    assert not decide_finalists({"same": pairs(1.0, seed=3)}, SAME, tried=2).undecided
    both = open_one | {"good": pairs(1.05, seed=2)}
    assert not decide_finalists(both, SAME, tried=2).undecided


def test_each_look_gets_its_share_of_the_error() -> None:
    made = {f"f{n}": pairs(1.1, seed=n) for n in range(2)}
    found = decide_finalists(made, SAME, tried=4, looks=2, confidence=0.96)
    assert [c.confidence for c in found.comparisons.values()] == pytest.approx([0.99] * 2)


def test_the_largest_accepted_gain_is_chosen() -> None:
    found = decide_finalists(
        {"good": pairs(1.1, seed=1), "better": pairs(1.2, seed=2), "same": pairs(1.0, seed=3)},
        SAME,
        tried=40,
    )
    assert found.chosen == "better"
    assert found.comparisons["good"].outcome is Outcome.ACCEPT
    assert found.comparisons["same"].outcome is Outcome.KEEP
    assert all(comparison.tried == 40 for comparison in found.comparisons.values())


def test_an_unstable_one_is_not_chosen_however_large_its_gain() -> None:
    wild = pairs(1.3, seed=1, worker_noise=0.3)
    found = decide_finalists({"wild": wild, "good": pairs(1.05, seed=2)}, SAME, tried=2)
    assert found.comparisons["wild"].outcome is not Outcome.ACCEPT
    assert found.chosen == "good"


def test_each_of_several_finalists_gets_its_share_of_the_error() -> None:
    made = {f"f{n}": pairs(1.1, seed=n) for n in range(4)}
    found = decide_finalists(made, SAME, tried=4, confidence=0.96)
    assert [c.confidence for c in found.comparisons.values()] == pytest.approx([0.99] * 4)


def test_without_finalists_nothing_is_chosen() -> None:
    assert decide_finalists({}, SAME, tried=3).chosen is None
