"""Who becomes a finalist, and which finalist wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic import pairs

from warpwright.measure.budget import DEFAULT
from warpwright.measure.family import choose_finalists, decide_finalists, screened_gain_pct
from warpwright.types.measurement import Outcome

SAME = pairs(1.0, seed=99, first_worker=1000)


def screened(ratio: float, seed: int = 0) -> list:
    return pairs(ratio, seed=seed, groups=1, rounds=6)


def test_the_fastest_become_finalists_best_first() -> None:
    gains = {"slow": 0.95, "good": 1.05, "better": 1.055, "same": 1.0, "fair": 1.045}
    found = choose_finalists({name: screened(gain) for name, gain in gains.items()}, DEFAULT)
    assert found == ["better", "good"]


def test_one_far_ahead_goes_alone() -> None:
    found = choose_finalists({"ahead": screened(1.2), "behind": screened(1.1)}, DEFAULT)
    assert found == ["ahead"]


def test_one_hardly_slower_gets_its_chance_since_the_parents_worker_may_be_a_lucky_one() -> None:
    assert choose_finalists({"near": screened(0.995)}, DEFAULT) == ["near"]


def test_nothing_faster_makes_no_finalist() -> None:
    assert choose_finalists({"slow": screened(0.9)}, DEFAULT) == []


def test_unusable_timings_make_no_finalist() -> None:
    broken = screened(2.0)
    broken[0] = replace(broken[0], candidate=replace(broken[0].candidate, times_us=(0.0,)))
    assert screened_gain_pct(broken) is None
    assert choose_finalists({"broken": broken, "none": []}, DEFAULT) == []


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
