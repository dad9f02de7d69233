"""Families of 32 through the whole path, on a simulated card: screen, finalists, decide.

`benchmarks/aa_simulation.py` holds the card and runs more of them, in worse noise too.
"""

from __future__ import annotations

import pytest
from aa_simulation import CANDIDATES, NOISES, SimulatedCard, exact_interval, simulate
from amounts import slow_but

from warpwright.bench.statistics.budget import NORMAL
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM, Minimum
from warpwright.bench.statistics.schedule import plan_finalists

TYPICAL = NOISES["typical"]


def test_the_best_of_32_clones_is_hardly_ever_accepted() -> None:
    """At a rate of 1 %, more than 4 of 100 has a chance of 0.3 %."""
    clones_are_not_accepted(100, 4, Minimum(0, 0))


@pytest.mark.slow
@pytest.mark.parametrize("minimum", [DEFAULT_MINIMUM, Minimum(0, 0)], ids=["default", "none"])
def test_the_best_of_32_clones_is_accepted_in_at_most_1_percent_of_1000_families(
    minimum: Minimum,
) -> None:
    clones_are_not_accepted(1000, 10, minimum)


def clones_are_not_accepted(families: int, most: int, minimum: Minimum) -> None:
    found = simulate(families, noise=TYPICAL, budget=NORMAL, minimum=minimum)
    assert found["accepted"] <= most
    # The path was walked: luck made finalists of clones.
    assert sum(row["finalists"] > 0 for row in found["rows"]) >= 0.99 * families


@pytest.mark.parametrize("trials", slow_but([60], [60, 300]))
def test_a_true_gain_of_3_percent_is_accepted_in_at_least_90_percent_of_trials(
    trials: int,
) -> None:
    found = simulate(trials, noise=TYPICAL, budget=NORMAL, gain_pct=3.0, seed=10_000)
    assert found["right"] >= 0.9 * trials
    covered = sum(
        row["interval_pct"] is not None and row["interval_pct"][0] <= 3.0 <= row["interval_pct"][1]
        for row in found["rows"]
    )
    assert covered >= 0.97 * trials - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["offsets", "bursts"])
def test_noise_beyond_what_a_card_showed_is_met_with_more_screenings_and_groups(name: str) -> None:
    found = simulate(60, noise=NOISES[name], budget=NORMAL, gain_pct=3.0, seed=30_000)
    assert found["right"] >= 48  # fewer have a chance of 0.6 % at a rate of 90 %
    assert sum(row["screenings"] > 2 for row in found["rows"]) >= 20
    assert {row["groups"] for row in found["rows"]} == set(NORMAL.looks)


WORSE = [name for name in NOISES if name not in ("typical", "calm")]


@pytest.mark.parametrize(
    ("name", "families"),
    [(WORSE[0], 40), *(pytest.param(name, 150, marks=pytest.mark.slow) for name in WORSE)],
)
def test_worse_noise_of_every_kind_accepts_no_more_clones(name: str, families: int) -> None:
    found = simulate(
        families, noise=NOISES[name], budget=NORMAL, minimum=Minimum(0, 0), seed=20_000
    )
    assert found["accepted"] <= 4  # more than that has a chance of 2 % at a rate of 1 %


def test_the_simulated_card_is_as_noisy_as_it_says() -> None:
    """The same program in different workers differs by more than 0.1 %, and calls have spikes."""
    import numpy as np

    card = SimulatedCard(TYPICAL, np.random.default_rng(1))
    plan = plan_finalists(NORMAL, [f"c{n}" for n in range(CANDIDATES)], 2000.0, seed=1)
    bursts = card.run(plan, {}, "test")
    medians: dict[int, list[float]] = {}
    for burst in bursts:
        medians.setdefault(burst.worker, []).append(float(np.median(burst.times_us)))
    workers = [float(np.median(values)) for values in medians.values()]
    times = np.concatenate([burst.times_us for burst in bursts])
    assert np.std(workers) / np.mean(workers) > 0.002
    assert np.max(times) > 1.5 * np.median(times)


def test_the_interval_of_a_rate_is_exact() -> None:
    """0 of 1000: 1 − 0.025^(1/1000); 5 of 10: the textbook's 18.7 to 81.3 %."""
    assert exact_interval(0, 1000) == (0.0, pytest.approx(1 - 0.025**0.001, abs=1e-6))
    assert exact_interval(5, 10) == (
        pytest.approx(0.1871, abs=1e-4),
        pytest.approx(0.8129, abs=1e-4),
    )
