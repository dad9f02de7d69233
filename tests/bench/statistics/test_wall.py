"""Savings that only the worker sees."""

from __future__ import annotations

import random

from synthetic import burst

from warpwright.bench.statistics.wall import is_saving_missing, missing_saving_us
from warpwright.types.measurement import BurstPair


def made(saved_us: float, seen_us: float, *, jitter_us: float, rounds: int = 12) -> list[BurstPair]:
    """Bursts of ten calls of 1000 µs; the candidate claims to save one amount and saves another."""
    generator = random.Random(5)
    found = []
    for number in range(rounds):
        slack = [generator.expovariate(1 / jitter_us) for _ in range(2)]
        found.append(
            BurstPair(
                burst("parent", 1, 2 * number, [1000.0] * 10, 11_000 + slack[0]),
                burst(
                    "candidate",
                    2,
                    2 * number + 1,
                    [1000.0 - saved_us / 10] * 10,
                    11_000 - seen_us + slack[1],
                ),
            )
        )
    return found


def test_a_saving_that_the_wall_clock_shares_is_believed() -> None:
    assert is_saving_missing(made(2000, 2000, jitter_us=300)) is False


def test_a_saving_that_the_wall_clock_does_not_see_is_missing() -> None:
    pairs = made(2000, 0, jitter_us=300)
    assert is_saving_missing(pairs) is True
    assert 1000 < (missing_saving_us(pairs) or 0) < 2000


def test_a_saving_below_the_jitter_of_the_wall_clock_is_not_accused() -> None:
    assert is_saving_missing(made(100, 0, jitter_us=2000)) is False


def test_a_candidate_that_is_costlier_to_launch_is_not_accused() -> None:
    """80 µs more for the host a call eat a small saving on our clock, not on the device's."""
    assert is_saving_missing(made(600, -200, jitter_us=50)) is False


def test_a_slower_candidate_is_not_accused() -> None:
    assert is_saving_missing(made(-500, -500, jitter_us=300)) is False


def test_two_pairs_are_too_few_to_tell() -> None:
    assert is_saving_missing(made(2000, 0, jitter_us=1, rounds=2)) is None
