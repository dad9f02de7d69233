"""Which metrics are collected: exactly the named ones, and only those that ncu has."""

from __future__ import annotations

import pytest

from warpwright.data.metrics import default_metrics, metric_groups, validate_metric_name
from warpwright.data.stages import find_stage
from warpwright.errors import InputError
from warpwright.profiler.chosen_metrics import Wanted, choose_metrics, wanted_metrics
from warpwright.types.gpu import StatedGpu
from warpwright.types.request import KernelProfile, Profile, Request

HIT = "lts__t_sector_hit_rate.pct"
GRID = "launch__grid_size"
OLD = "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct"
NEW = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"


def test_without_a_name_the_usual_five_are_collected() -> None:
    assert wanted_metrics().names == default_metrics()
    assert len(default_metrics()) == 5


def test_a_request_names_the_metrics_of_its_profile_and_its_stage() -> None:
    stage = find_stage("memory")
    profile = Profile((KernelProfile("k", ({GRID: 1.0, HIT: None},)),))
    request = Request(StatedGpu("RTX 4090"), stage, "", profile)
    named = wanted_metrics(request=request).names
    assert named[:2] == (GRID, HIT)
    assert set(named) == {GRID, HIT, *(target.metric for target in stage.metrics)}


def test_a_group_comes_on_top_and_names_nothing_twice() -> None:
    wanted = wanted_metrics([NEW], ["stalls"])
    assert wanted.names == (NEW,)
    assert set(wanted.optional) == set(metric_groups()["stalls"]) - {NEW}


def test_unknown_groups_and_misspelt_names_are_refused() -> None:
    with pytest.raises(InputError, match="stalls, registers, l1"):
        wanted_metrics(groups=["l3"])
    with pytest.raises(InputError, match="did you mean lts__t_sector_hit_rate"):
        wanted_metrics(["lts__t_sectr_hit_rate.pct"])


def test_every_group_holds_well_formed_names() -> None:
    for names in metric_groups().values():
        assert [validate_metric_name(name) for name in names] == list(names)


def test_names_that_ncu_does_not_list_are_not_asked_for() -> None:
    assert choose_metrics(Wanted((GRID,)), frozenset()).names == (GRID,)


def test_a_name_that_ncu_lacks_is_refused_with_the_nearest_ones() -> None:
    available = frozenset({HIT, "lts__t_sector_hit_rate.ratio"})
    with pytest.raises(InputError) as caught:
        choose_metrics(Wanted(("lts__t_sector_hit_rate",)), available)
    assert caught.value.hint is not None
    assert HIT in caught.value.hint
    bases = frozenset({"sm__throughput", "dram__bytes"})
    with pytest.raises(InputError, match="did you mean sm__throughput"):
        choose_metrics(Wanted(("sm__throughputs.avg",)), available, lambda: bases)


def test_a_retired_name_is_collected_under_its_modern_one_and_told() -> None:
    checked = choose_metrics(Wanted((OLD, HIT)), frozenset({NEW, HIT}))
    assert checked.names == (NEW, HIT)
    assert checked.replaced == {OLD: NEW}
    assert choose_metrics(Wanted((OLD,)), frozenset({OLD, NEW})).names == (OLD,)


def test_what_a_gpu_lacks_of_a_group_is_left_out_and_told() -> None:
    gmma = "smsp__warp_issue_stalled_gmma_per_warp_active.pct"
    checked = choose_metrics(Wanted((HIT,), (NEW, gmma)), frozenset({HIT, NEW}))
    assert checked.names == (HIT, NEW)
    assert checked.left_out == (gmma,)
