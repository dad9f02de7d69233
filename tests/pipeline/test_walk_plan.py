"""Which stages a walk goes through, and when metrics skip one."""

from __future__ import annotations

import pytest

from warpwright.errors import InputError
from warpwright.pipeline.walk_plan import metrics_of, skip_reading, walk_plan
from warpwright.types.request import KernelProfile, Profile
from warpwright.types.stage import StageId

WARPS = "sm__warps_active.avg.pct_of_peak_sustained_active"
HITS = "lts__t_sector_hit_rate.pct"
STALLS = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"


def profile(*launches: dict[str, float | None]) -> Profile:
    return Profile(tuple(KernelProfile(f"k{n}", (launch,)) for n, launch in enumerate(launches)))


def test_without_a_word_all_four_stages_are_walked_and_an_algorithm_is_not_asked_for() -> None:
    plan = walk_plan()
    assert plan.stages == tuple(StageId)
    assert plan.algorithm is None
    assert plan.skipping


@pytest.mark.parametrize(
    ("first", "stages", "algorithm"),
    [
        ("algorithm", tuple(StageId), True),
        ("tiling", (StageId.TILING, StageId.MEMORY, StageId.TUNING), False),
        ("micro-tuning", (StageId.TUNING,), False),
    ],
)
def test_a_walk_begins_where_it_is_told_to(
    first: str, stages: tuple[StageId, ...], algorithm: bool
) -> None:
    plan = walk_plan(first)
    assert (plan.stages, plan.algorithm, plan.skipping) == (stages, algorithm, True)


def test_named_stages_are_walked_in_their_own_order_and_never_skipped() -> None:
    plan = walk_plan(named=("tuning", " grid", "grid"))
    assert plan.stages == (StageId.GRID, StageId.TUNING)
    assert plan.algorithm is False
    assert not plan.skipping
    assert walk_plan(named=("algorithm",)).stages == ()


@pytest.mark.parametrize("name", ["grits", ""])
def test_an_unknown_stage_is_refused_with_the_names(name: str) -> None:
    with pytest.raises(InputError, match="one of algorithm, grid, tiling, memory, tuning"):
        walk_plan(named=("grid", name))
    with pytest.raises(InputError, match="--from"):
        walk_plan(name or "?")


def test_a_beginning_and_names_are_one_too_many() -> None:
    with pytest.raises(InputError, match="both given"):
        walk_plan("grid", ("tuning",))


def test_a_profile_for_a_walk_holds_what_its_stages_name_and_what_may_skip_them() -> None:
    found = metrics_of(walk_plan(named=("tiling", "tuning")))
    assert {WARPS, HITS, STALLS, "launch__grid_size"} <= set(found)
    assert len(found) == len(set(found))


def test_a_stage_is_skipped_where_every_launch_has_reached_the_bound() -> None:
    reading = skip_reading(StageId.TILING, profile({WARPS: 61.0}, {WARPS: 88.0}))
    assert reading.skips
    assert reading.conditions[0].value == 61.0


def test_one_kernel_below_the_bound_is_enough_to_go_on() -> None:
    reading = skip_reading(StageId.TILING, profile({WARPS: 20.0}, {WARPS: 88.0}))
    assert not reading.skips
    assert reading.conditions[0].holds is False


@pytest.mark.parametrize(
    "launches",
    [(), ({},), ({WARPS: None},), ({WARPS: 88.0}, {WARPS: None})],
    ids=["no profile", "not taken", "no value", "of one kernel alone"],
)
def test_an_unknown_metric_never_skips(launches: tuple[dict[str, float | None], ...]) -> None:
    reading = skip_reading(StageId.TILING, profile(*launches))
    assert not reading.skips
    assert reading.conditions[0].holds is None


def test_of_two_conditions_both_must_hold() -> None:
    assert skip_reading(StageId.TUNING, profile({HITS: 95.0, STALLS: 4.0})).skips
    assert not skip_reading(StageId.TUNING, profile({HITS: 95.0, STALLS: 12.0})).skips
    assert not skip_reading(StageId.TUNING, profile({HITS: 95.0})).skips
