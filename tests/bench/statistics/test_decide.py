"""What timings decide, and what they never decide."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import burst, pairs, swapped

from warpwright.bench.statistics.decide import decide
from warpwright.bench.statistics.gain import interval_of, noise_floor_pct
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM, Minimum, minimum_of
from warpwright.bench.statistics.samples import groups_of
from warpwright.types.measurement import BurstPair, Outcome
from warpwright.types.stage import ProgramKind, Rule, Stage

SAME = pairs(1.0, seed=99, first_worker=1000)
SEEDS = st.integers(0, 2**32)


def test_a_clear_gain_is_accepted_and_its_interval_holds_it_as_often_as_it_says() -> None:
    """98 %: of 50 intervals more than four would miss with a chance of 0.3 %."""
    missed = 0
    for seed in range(50):
        found = decide(pairs(1.05, seed=seed), SAME)
        assert found.outcome is Outcome.ACCEPT
        assert found.interval_pct is not None
        missed += not found.interval_pct[0] <= 5.0 <= found.interval_pct[1]
    assert missed <= 4


def test_the_medians_of_both_programs_are_stated() -> None:
    found = decide(pairs(1.05, seed=1), SAME)
    assert found.parent_us == pytest.approx(2000, rel=0.01)
    assert found.candidate_us == pytest.approx(2000 / 1.05, rel=0.01)


def test_a_slower_candidate_keeps_the_parent() -> None:
    found = decide(pairs(0.9, seed=1), SAME)
    assert found.outcome is Outcome.KEEP
    assert "slower" in found.reason


def test_the_same_program_keeps_the_parent_even_without_a_minimum() -> None:
    found = decide(pairs(1.0, seed=5), SAME, minimum=Minimum(0, 0))
    assert found.outcome is not Outcome.ACCEPT


def test_a_significant_gain_under_the_minimum_keeps_the_parent() -> None:
    quiet = {"noise": 1e-4, "worker_noise": 1e-4}
    same = pairs(1.0, seed=9, first_worker=1000, **quiet)
    made = pairs(1.008, seed=2, **quiet)
    assert decide(made, same).outcome is Outcome.KEEP
    assert "under the least gain" in decide(made, same).reason
    assert decide(made, same, minimum=Minimum(0.5, 0.5)).outcome is Outcome.ACCEPT


def test_a_large_gain_that_reaches_into_the_noise_is_unstable() -> None:
    found = decide(pairs(1.05, seed=3, worker_noise=0.1), SAME)
    assert found.outcome is Outcome.UNSTABLE
    assert found.gain_pct is not None
    assert found.gain_pct > DEFAULT_MINIMUM.high_pct


def test_noise_that_the_parent_shows_against_itself_swallows_a_gain() -> None:
    """The same pairs: accepted beside a quiet A/A run, not beside one that shows 4 %."""
    made = pairs(1.03, seed=4)
    assert decide(made, SAME).outcome is Outcome.ACCEPT
    loud = pairs(1.04, seed=9, first_worker=1000)
    assert decide(made, loud).outcome is Outcome.UNSTABLE
    assert decide(made, swapped(loud)).outcome is Outcome.UNSTABLE


@given(SEEDS, st.sampled_from([0.9, 1.0, 1.02, 1.2]))
@settings(max_examples=examples(25), deadline=None)
def test_parent_and_candidate_swapped_flip_the_sign(seed: int, ratio: float) -> None:
    made = pairs(ratio, seed=seed, rounds=6, groups=3)
    one, other = decide(made, SAME), decide(swapped(made), SAME)
    assert one.gain_pct is not None and other.gain_pct is not None
    assert (1 + one.gain_pct / 100) * (1 + other.gain_pct / 100) == pytest.approx(1, abs=1e-9)
    assert not one.outcome is other.outcome is Outcome.ACCEPT


@given(SEEDS, st.floats(1e-3, 1e3))
@settings(max_examples=examples(25), deadline=None)
def test_the_unit_of_time_changes_nothing(seed: int, scale: float) -> None:
    made = pairs(1.03, seed=seed, rounds=4, groups=3)
    scaled = [
        BurstPair(
            *(
                replace(b, times_us=tuple(t * scale for t in b.times_us), wall_us=b.wall_us * scale)
                for b in (pair.parent, pair.candidate)
            )
        )
        for pair in made
    ]
    one, other = decide(made, SAME), decide(scaled, SAME)
    assert one.outcome is other.outcome
    assert one.gain_pct == pytest.approx(other.gain_pct, abs=1e-7)
    assert one.interval_pct == pytest.approx(other.interval_pct, abs=1e-6)


@given(st.integers(0, 10_000), st.permutations(range(24)))
@settings(max_examples=examples(20), deadline=None)
def test_the_order_in_which_pairs_are_handed_over_changes_nothing(
    seed: int, places: list[int]
) -> None:
    made = pairs(1.02, seed=seed, rounds=6, groups=4)
    shuffled = [made[place] for place in places]
    one, other = decide(made, SAME), decide(shuffled, SAME)
    assert one.outcome is other.outcome
    assert one.interval_pct == pytest.approx(other.interval_pct, abs=1e-9)


def test_more_noise_widens_the_interval_on_average() -> None:
    def width(noise: float, worker_noise: float) -> float:
        found = [
            interval_of(groups_of(pairs(1.0, seed=n, noise=noise, worker_noise=worker_noise)), 0.95)
            for n in range(30)
        ]
        return fmean(i.high_pct - i.low_pct for i in found if i is not None)

    widths = [width(0.001, 0.001), width(0.01, 0.001), width(0.01, 0.01), width(0.05, 0.01)]
    assert widths == sorted(widths)


def test_a_smaller_error_that_is_allowed_widens_the_interval() -> None:
    made = pairs(1.03, seed=1)
    widths = []
    for finalists in (1, 2, 5):
        low, high = decide(made, SAME, finalists=finalists).interval_pct or (0.0, 0.0)
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert decide(made, SAME, finalists=2).confidence == pytest.approx(0.99)


BAD_TIMES = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0])


@given(BAD_TIMES, st.integers(0, 59), st.integers(0, 4), st.booleans(), st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_a_time_that_is_no_time_accepts_nothing(
    bad: float, place: int, call: int, in_parent: bool, in_same: bool
) -> None:
    made, same = pairs(2.0, seed=1), list(SAME)
    target = same if in_same else made
    pair = target[place]
    spoilt = pair.parent if in_parent else pair.candidate
    times = (*spoilt.times_us[:call], bad, *spoilt.times_us[call + 1 :])
    broken = replace(spoilt, times_us=times)
    target[place] = replace(pair, **{"parent" if in_parent else "candidate": broken})
    found = decide(made, same)
    assert found.outcome is Outcome.KEEP
    assert found.gain_pct is None
    assert "of no use" in found.reason


@pytest.mark.parametrize(
    ("groups", "rounds"), [(0, 0), (1, 20), (6, 3), (1, 1)], ids=["none", "one group", "3", "1"]
)
def test_too_few_pairs_accept_nothing(groups: int, rounds: int) -> None:
    found = decide(pairs(3.0, seed=1, groups=groups, rounds=rounds), SAME)
    assert found.outcome is Outcome.KEEP
    assert found.interval_pct is None
    assert "too few" in found.reason


@pytest.mark.parametrize("same", [[], pairs(1.0, seed=1, rounds=3)], ids=["none", "short"])
def test_without_an_a_a_run_nothing_is_accepted(same: list[BurstPair]) -> None:
    found = decide(pairs(3.0, seed=1), same)
    assert found.outcome is Outcome.KEEP
    assert found.noise_floor_pct is None
    assert found.gain_pct == pytest.approx(200, rel=0.05)


def test_an_empty_burst_accepts_nothing() -> None:
    made = pairs(2.0, seed=1)
    made[7] = replace(made[7], candidate=replace(made[7].candidate, times_us=()))
    assert decide(made, SAME).outcome is Outcome.KEEP


def test_one_parent_worker_for_all_candidates_workers_is_one_group() -> None:
    """What all pairs share cannot average out, so it proves nothing about other processes."""
    made = [replace(pair, parent=replace(pair.parent, worker=500)) for pair in pairs(1.2, seed=1)]
    assert decide(made, SAME).outcome is Outcome.KEEP


def test_times_longer_than_our_own_clock_are_refused() -> None:
    """A worker that makes the parent look slow by its report alone."""
    made = [
        replace(
            pair,
            parent=burst("parent", pair.parent.worker, pair.parent.order, [4000.0] * 5, 10_500.0),
        )
        for pair in pairs(1.0, seed=1)
    ]
    found = decide(made, SAME)
    assert found.outcome is Outcome.KEEP
    assert "our own clock" in found.reason


def test_a_saving_that_our_own_clock_does_not_see_is_refused_and_its_honest_twin_accepted() -> None:
    honest = pairs(1.3, seed=1)
    forged = [
        replace(pair, candidate=replace(pair.candidate, wall_us=pair.parent.wall_us))
        for pair in honest
    ]
    assert decide(honest, SAME).outcome is Outcome.ACCEPT
    found = decide(forged, SAME)
    assert found.outcome is Outcome.KEEP
    assert "does not see it" in found.reason


def test_a_timer_with_coarse_steps_makes_no_gain_certain() -> None:
    """Programs of 10.1 and 9.9 µs on a timer of 1 µs steps, read without noise as 10 and 9."""

    def stepped(program: str, worker: int, time: float) -> list[BurstPair]:
        return [
            BurstPair(
                burst("parent", 100 * g, 2 * n, [10.0] * 9 + [11.0]),
                burst(program, 100 * g + worker, 2 * n + 1, [time] * 10),
            )
            for g in range(6)
            for n in range(8)
        ]

    found = decide(stepped("candidate", 1, 9.0), stepped("parent", 2, 10.0))
    assert found.outcome is not Outcome.ACCEPT
    assert found.interval_pct is not None
    assert found.interval_pct[0] < 2.0


def test_the_noise_floor_is_never_negative_and_needs_its_own_pairs() -> None:
    assert noise_floor_pct([]) is None
    for seed in range(20):
        floor = noise_floor_pct(groups_of(pairs(1.0, seed=seed)))
        assert floor is not None
        assert floor > 0


def test_the_minimum_is_the_requests_own_and_one_default_else() -> None:
    silent = Stage(None, ProgramKind.SINGLE, "")
    said = replace(silent, rules=(Rule("gain.minimum", {"low_pct": 3.0, "high_pct": 5.0}),))
    assert minimum_of(silent) == DEFAULT_MINIMUM
    assert minimum_of(said) == Minimum(3.0, 5.0)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2), (math.nan, 2)])
def test_a_minimum_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="not a minimum"):
        Minimum(low, high)
