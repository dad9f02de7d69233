"""The tuning proposer: what it looks at, what it keeps, and why."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from warpwright.proposers.configs.choose import choose, neighbours
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.requested import making_room, without_new
from warpwright.types.compiled import (
    Compiled,
    CompileFailed,
    Occupancy,
    Resources,
    Toolchain,
    Unlaunchable,
)
from warpwright.types.config import Config
from warpwright.types.study import Activity, CompiledView, ConfigStudy, KernelStudy

RULES = TuningRules(
    count_min=3,
    count_max=6,
    warps=(2, 4, 8, 16),
    stages=(2, 3, 4),
    stage_step=1,
    warps_need_occupancy=True,
)
TOO_LARGE = Unlaunchable("shared memory per block", 163840, 101376, "B")


def config(tile: int, warps: int = 4, stages: int = 2) -> Config:
    return Config.of({"BLOCK": tile}, warps, stages)


def study(
    of: Config,
    binary: str,
    *,
    activity: Activity = Activity.INACTIVE,
    occupancy_pct: float = 33.3,
    local_bytes: int = 0,
    broken: Unlaunchable | None = None,
) -> ConfigStudy:
    resources = Resources(128, 0, local_bytes, 16384, of.num_warps * 32)
    result = Compiled(of, "as called", resources, binary, Toolchain("3.7.1"))
    fits = Occupancy(4, 16, occupancy_pct, ("registers",), {"registers": 4})
    view = CompiledView(result, fits, () if broken is None else (broken,))
    return ConfigStudy(of, (view,), activity=activity)


def kernel(*configs: ConfigStudy) -> KernelStudy:
    return KernelStudy("conv", True, configs)


def test_neighbours_step_stages_by_one_and_warps_by_two_inside_the_domains() -> None:
    active = study(config(64, 8, 2), "a", activity=Activity.ACTIVE)
    found = neighbours(kernel(active), RULES)
    assert set(found) == {config(64, 8, 3), config(64, 4, 2), config(64, 16, 2)}


def test_neighbours_start_from_the_twin_that_lies_inside_the_domains() -> None:
    outside = study(config(64, 4, 1), "same", activity=Activity.ACTIVE)
    inside = study(config(64, 4, 2), "same", activity=Activity.ACTIVE)
    found = neighbours(kernel(outside, inside), RULES)
    assert {config(64, 8, 2), config(64, 2, 2)} == set(found)


def test_stages_are_left_alone_where_the_compiler_shows_that_they_do_nothing() -> None:
    one = study(config(64, 4, 2), "same", activity=Activity.ACTIVE)
    other = study(config(64, 4, 3), "same", activity=Activity.ACTIVE)
    assert all(found.num_stages == 2 for found in neighbours(kernel(one, other), RULES))


def test_neighbours_never_repeat_what_the_program_has() -> None:
    active = study(config(64, 8, 2), "a", activity=Activity.ACTIVE)
    other = study(config(64, 8, 3), "b")
    assert config(64, 8, 3) not in neighbours(kernel(active, other), RULES)


def test_equal_binaries_are_kept_once_and_from_inside_the_domain() -> None:
    outside = study(config(64, stages=1), "same", activity=Activity.ACTIVE)
    inside = study(config(64, stages=2), "same", activity=Activity.ACTIVE)
    plan = choose(kernel(outside, inside), [], RULES)
    assert plan.kept == (config(64, stages=2),)
    assert "same binary" in plan.choices[0].reason


def test_an_original_outside_the_domain_stays_and_the_conflict_is_told() -> None:
    plan = choose(kernel(study(config(64, stages=1), "a", activity=Activity.ACTIVE)), [], RULES)
    assert plan.kept == (config(64, stages=1),)
    assert any("outside the stage's domains" in conflict for conflict in plan.conflicts)


def test_a_config_that_can_never_launch_goes_with_the_number_that_rules_it_out() -> None:
    good = study(config(64), "a", activity=Activity.ACTIVE)
    bad = study(config(256), "b", broken=TOO_LARGE)
    plan = choose(kernel(good, bad), [], RULES)
    assert plan.kept == (config(64),)
    assert "163,840" in plan.choices[1].reason
    assert "101,376" in plan.choices[1].reason


def test_a_config_that_does_not_compile_goes_with_the_compilers_words() -> None:
    good = study(config(64), "a", activity=Activity.ACTIVE)
    failed = CompileFailed(config(256), "as called", "shape mismatch in tl.dot")
    bad = ConfigStudy(config(256), (CompiledView(failed),), activity=Activity.INACTIVE)
    plan = choose(kernel(good, bad), [], RULES)
    assert "shape mismatch" in plan.choices[1].reason


def test_with_more_distinct_originals_than_allowed_the_active_one_stays() -> None:
    originals = [study(config(2**n), f"binary {n}") for n in range(4, 10)]
    originals[-1] = replace(originals[-1], activity=Activity.ACTIVE)
    plan = choose(kernel(*originals), [], replace(RULES, count_min=2, count_max=3))
    assert len(plan.kept) == 3
    assert originals[-1].config in plan.kept
    assert any("6 distinct ones" in conflict for conflict in plan.conflicts)


def test_candidates_fill_the_room_that_is_left_and_no_more() -> None:
    originals = [study(config(2**n), f"binary {n}") for n in range(4, 9)]
    originals[0] = replace(originals[0], activity=Activity.ACTIVE)
    new = [study(config(16, 4, 3), "new 1"), study(config(16, 8, 2), "new 2")]
    plan = choose(kernel(*originals), new, RULES)
    assert len(plan.kept) == 6
    assert config(16, 4, 3) in plan.kept
    assert "no room" in plan.choices[-1].reason


def test_a_candidate_with_a_known_binary_is_not_tried_again() -> None:
    active = study(config(64), "a", activity=Activity.ACTIVE)
    plan = choose(kernel(active), [study(config(64, 4, 3), "a")], RULES)
    assert plan.kept == (config(64),)
    assert "same binary" in plan.choices[-1].reason


def test_warps_stay_when_the_profile_shows_enough_of_them_active() -> None:
    active = study(config(64), "a", activity=Activity.ACTIVE)
    more = study(config(64, 8), "b", occupancy_pct=66.7)
    plan = choose(kernel(active), [more], RULES, measured_warps_active_pct=80.0)
    assert config(64, 8) not in plan.kept
    assert "does not suggest" in plan.choices[-1].reason


def test_warps_may_change_when_few_are_active_and_occupancy_does_not_fall() -> None:
    active = study(config(64), "a", activity=Activity.ACTIVE)
    more = study(config(64, 8), "b", occupancy_pct=33.3)
    fewer = study(config(64, 2), "c", occupancy_pct=16.7)
    plan = choose(kernel(active), [more, fewer], RULES, measured_warps_active_pct=16.7)
    assert config(64, 8) in plan.kept
    assert "would fall" in plan.choices[-1].reason


def test_a_candidate_that_spills_more_is_refused() -> None:
    active = study(config(64), "a", activity=Activity.ACTIVE)
    spilling = study(config(64, 4, 3), "b", local_bytes=64)
    plan = choose(kernel(active), [spilling], RULES)
    assert plan.kept == (config(64),)
    assert "spills 64 B" in plan.choices[-1].reason


def test_too_few_distinct_configs_are_told() -> None:
    plan = choose(kernel(study(config(64), "a", activity=Activity.ACTIVE)), [], RULES)
    assert any("at least 3 configs" in conflict for conflict in plan.conflicts)


def test_a_config_that_the_rules_ask_for_gets_room_before_other_originals() -> None:
    rules = replace(RULES, count_min=2, count_max=3, include=(Config.of({}, 4, 2),))
    originals = [study(config(64, 8, 3 + n % 2), f"b{n}") for n in range(1)]
    originals += [study(config(2**n, 8, 3), f"binary {n}") for n in range(7, 10)]
    originals[0] = replace(originals[0], activity=Activity.ACTIVE)
    wanted = neighbours(kernel(*originals), rules)
    assert wanted[0] == config(64, 4, 2)
    plan = choose(kernel(*originals), [study(config(64, 4, 2), "baseline")], rules)
    assert config(64, 4, 2) in plan.kept
    assert originals[0].config in plan.kept
    assert len(plan.kept) == 3


ASKED = replace(RULES, count_min=None, count_max=3, include=(Config.of({}, 4, 2),))


def test_a_config_asked_for_by_name_takes_the_place_of_an_original_with_its_binary() -> None:
    active = study(config(64, 4, 3), "same", activity=Activity.ACTIVE)
    new = [study(config(64, 4, 2), "same"), study(config(64, 8, 3), "wide", occupancy_pct=60)]
    plan = choose(kernel(active), new, replace(ASKED, warps_need_occupancy=False))
    assert set(plan.kept) == {config(64, 4, 2), config(64, 8, 3)}
    assert "asks for by name" in plan.choices[0].reason


def test_a_config_asked_for_changes_nothing_where_nothing_else_changes() -> None:
    active = study(config(64, 4, 3), "same", activity=Activity.ACTIVE)
    plan = choose(kernel(active), [study(config(64, 4, 2), "same")], ASKED)
    assert plan.kept == (config(64, 4, 3),)


def test_an_original_that_the_rules_ask_for_stays_before_others() -> None:
    originals = [study(config(2**n, 4, 4), f"binary {n}") for n in range(5, 8)]
    originals[0] = replace(originals[0], activity=Activity.ACTIVE)
    asked = study(config(16, 4, 2), "asked")
    kept = choose(kernel(*originals, asked), [], ASKED).kept
    assert len(kept) == 3
    assert {originals[0].config, asked.config} < set(kept)


def test_an_original_that_is_the_binary_of_one_asked_for_gives_it_its_place() -> None:
    originals = [study(config(2**n, 4, 4), f"binary {n}") for n in range(5, 8)]
    originals[0] = replace(originals[0], activity=Activity.ACTIVE)
    small = study(config(16, 4, 3), "small")
    plan = choose(kernel(*originals, small), [study(config(16, 4, 2), "small")], ASKED)
    assert len(plan.kept) == 3
    assert {originals[0].config, config(16, 4, 2)} < set(plan.kept)


def test_what_the_rules_ask_for_is_looked_at_on_the_smallest_tile_too() -> None:
    large = study(config(256, 8, 3), "large", activity=Activity.ACTIVE)
    small = study(config(32, 4, 3), "small")
    found = neighbours(kernel(large, small), ASKED)
    assert {config(256, 4, 2), config(32, 4, 2)} <= set(found)
    spilling = study(config(256, 4, 2), "spills", local_bytes=108)
    plan = choose(kernel(large, small), [spilling, study(config(32, 4, 2), "asked")], ASKED)
    assert set(plan.kept) == {config(256, 8, 3), config(32, 4, 3), config(32, 4, 2)}


def test_of_equal_binaries_the_one_that_the_rules_ask_for_is_kept() -> None:
    first = study(config(64, 4, 3), "same", activity=Activity.ACTIVE)
    asked = study(config(64, 4, 2), "same", activity=Activity.ACTIVE)
    assert choose(kernel(first, asked), [], ASKED).kept == (config(64, 4, 2),)


def test_without_its_new_configs_a_plan_still_drops_what_is_redundant() -> None:
    first = study(config(64, 8, 3), "a", activity=Activity.ACTIVE)
    twin = study(config(64, 8, 4), "a")
    new = [study(config(64, 4, 2), "asked"), study(config(64, 4, 3), "b", occupancy_pct=60)]
    plan = choose(kernel(first, twin), new, ASKED)
    assert len(plan.kept) == 3
    assert set(without_new(plan, ASKED).kept) == {config(64, 8, 3), config(64, 4, 2)}


def test_without_its_new_configs_a_plan_that_drops_nothing_is_the_parents_list() -> None:
    active = study(config(64, 4, 3), "same", activity=Activity.ACTIVE)
    new = [study(config(64, 4, 2), "same"), study(config(64, 8, 3), "wide", occupancy_pct=60)]
    plan = choose(kernel(active), new, replace(ASKED, warps_need_occupancy=False))
    assert without_new(plan, ASKED).kept == (config(64, 4, 3),)


@given(
    st.lists(
        st.tuples(st.sampled_from([16, 32, 64]), st.sampled_from([2, 4, 8]), st.integers(1, 4)),
        min_size=1,
        max_size=9,
        unique=True,
    ),
    st.integers(1, 4),
    st.integers(0, 8),
)
def test_whatever_the_program_has_the_active_config_or_its_twin_stays(
    tiles: list[tuple[int, int, int]], binaries: int, active: int
) -> None:
    studies = [
        study(config(*tile), f"binary {index % binaries}") for index, tile in enumerate(tiles)
    ]
    chosen = studies[active % len(studies)]
    studies = [
        replace(s, activity=Activity.ACTIVE if s.identity == chosen.identity else s.activity)
        for s in studies
    ]
    plan = choose(kernel(*studies), [], RULES)
    kept = {choice.study.identity for choice in plan.choices if choice.kept and choice.study}
    assert chosen.identity in kept
    assert len(plan.kept) <= 6
    assert len(plan.choices) == len(studies)


def late(of: Config) -> ConfigStudy:
    """A config whose compile was given up."""
    failed = CompileFailed(of, "as called", "still compiling after 45 s", "timeout")
    return ConfigStudy(of, (CompiledView(failed),))


def test_an_original_that_took_too_long_to_compile_stays() -> None:
    plan = choose(kernel(study(config(64), "a"), late(config(256))), [], RULES)
    assert plan.kept == (config(64), config(256))
    (choice,) = [c for c in plan.choices if c.config == config(256)]
    assert "not known to be impossible (still compiling after 45 s)" in choice.reason


def test_nothing_is_tried_around_an_original_that_took_too_long_to_compile() -> None:
    assert neighbours(kernel(late(config(256)), late(config(128))), RULES) == ()


def test_an_original_that_the_compiler_refuses_goes() -> None:
    refused = CompileFailed(config(256), "as called", "out of range", "error")
    known = study(config(64), "a", activity=Activity.ACTIVE)
    plan = choose(kernel(known, ConfigStudy(config(256), (CompiledView(refused),))), [], RULES)
    assert plan.kept == (config(64),)


def test_a_config_measured_to_be_faster_takes_the_place_of_the_slowest_original() -> None:
    three = TuningRules(count_max=3, warps=(4, 8), stages=(2, 3))
    originals = tuple(study(config(tile, 8, 3), f"old {tile}") for tile in (16, 32, 64, 128))
    by_time = [originals[number].config for number in (2, 0, 3, 1)]
    new = study(config(64, 4, 2), "new")
    room = making_room(by_time, [new.config], three)
    assert set(room) == {originals[3].config, originals[1].config}
    plan = choose(kernel(*originals), [new], three, dropped=room)
    assert set(plan.kept) == {by_time[0], by_time[1], new.config}
    told = {choice.config: choice.reason for choice in plan.choices}
    assert told[by_time[3]].startswith("gives its place to a faster one")


def test_originals_stay_where_the_rules_ask_for_them_or_nothing_is_faster() -> None:
    originals = [config(tile, 8, 3) for tile in (16, 32, 64, 128)]
    three = TuningRules(count_max=3)
    assert making_room(originals, [], three) == {}
    assert making_room(originals, [config(64)], replace(three, originals_stay=True)) == {}
    assert making_room(originals, [config(64)], TuningRules()) == {}


@given(
    st.integers(1, 4),
    st.lists(st.sampled_from(range(6)), min_size=1, max_size=5, unique=True),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_fastest_original_and_a_named_config_stay(
    most: int, tiles: list[int], faster: int, named_is_faster: bool
) -> None:
    named = Config.of({}, 4, 2)
    rules = TuningRules(count_max=most, include=(named,))
    originals = [config(16 << t, 4 if t == 3 else 8, 2 if t == 3 else 3) for t in tiles]
    new = [config(8, 2 if number or not named_is_faster else 4, 2) for number in range(faster)]
    gone = making_room(originals, new, rules)
    staying = [c for c in originals if c not in gone]
    assert staying[0] == originals[0]
    assert len(staying) <= max(2, most - faster)
    if 3 in tiles:
        assert any((c.num_warps, c.num_stages) == (4, 2) for c in (*staying, *new))
