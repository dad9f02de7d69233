"""Rows of `bench` from bursts."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from warpwright.bench.statistics.rows import bench_rows, pairs_of
from warpwright.types.bench import BenchBurst
from warpwright.types.measurement import Burst

TIMES = {"first": 1000.0, "fast": 800.0, "same": 1000.0}


def bursts(groups: int = 3, rounds: int = 8, seed: int = 1) -> list[BenchBurst]:
    generator = random.Random(seed)
    made = []
    for group in range(groups):
        slow = 1 + 0.02 * group  # a clock that falls from group to group, for all alike
        for number in range(rounds):
            for place, (label, base) in enumerate(TIMES.items()):
                times = tuple(base * slow * (1 + generator.gauss(0, 0.003)) for _ in range(5))
                burst = Burst(label, 3 * group + place, len(made), times, 2 * sum(times))
                made.append(BenchBurst(group, number, burst))
    return made


def test_rows_come_in_the_order_of_the_labels_with_times_and_speedups() -> None:
    first, fast, same = bench_rows(list(TIMES), bursts(), {})
    assert [first.label, fast.label, same.label] == list(TIMES)
    assert first.speedup is None
    assert first.median_us == pytest.approx(1020, rel=0.01)
    assert fast.median_us == pytest.approx(816, rel=0.01)
    assert fast.speedup == pytest.approx(1.25, rel=0.005)
    assert fast.speedup_interval is not None
    assert fast.speedup_interval[0] < 1.25 < fast.speedup_interval[1]
    assert same.speedup == pytest.approx(1.0, abs=0.005)


def test_what_slows_all_alike_widens_times_and_not_speedups() -> None:
    _, fast, _ = bench_rows(list(TIMES), bursts(), {})
    assert fast.interval_us is not None and fast.speedup_interval is not None
    times = math.log(fast.interval_us[1] / fast.interval_us[0])
    speedups = math.log(fast.speedup_interval[1] / fast.speedup_interval[0])
    assert speedups < times / 4


def test_a_contender_that_failed_has_its_reason_and_no_numbers() -> None:
    rows = bench_rows([*TIMES, "broken"], bursts(), {"broken": "it raised", "same": "it died"})
    assert [row.failed for row in rows] == [None, None, "it died", "it raised"]
    assert rows[2].median_us is None


def test_a_contender_that_never_ran_says_so() -> None:
    assert bench_rows(["first", "absent"], bursts(), {})[1].failed == "it was not timed"


def test_times_that_cannot_be_true_are_a_failure() -> None:
    made = bursts()
    made[1] = replace(made[1], burst=replace(made[1].burst, times_us=(math.nan,)))
    rows = bench_rows(list(TIMES), made, {})
    assert "not a positive number" in (rows[1].failed or "")
    assert rows[2].speedup == pytest.approx(1.0, abs=0.005)


def test_a_first_that_failed_leaves_the_others_their_times() -> None:
    rows = bench_rows(list(TIMES), [b for b in bursts() if b.burst.program != "first"], {})
    assert rows[0].failed is not None
    assert rows[1].median_us == pytest.approx(816, rel=0.01)
    assert rows[1].speedup is None


def test_too_few_rounds_give_a_time_and_no_interval() -> None:
    row = bench_rows(list(TIMES), bursts(rounds=2), {})[1]
    assert row.median_us == pytest.approx(816, rel=0.01)
    assert row.interval_us is None
    assert row.speedup_interval is None


def test_only_bursts_of_the_same_round_are_compared() -> None:
    made = bursts(groups=2, rounds=4)
    pairs = pairs_of("first", "fast", made[3:])  # the first round has lost its "first" and "fast"
    assert len(pairs) == 7
    assert all(abs(pair.parent.order - pair.candidate.order) == 1 for pair in pairs)
