"""Which configs stay where the request's limit is smaller than the list, and what is said of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warpwright.proposers.configs.choose import choose
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.spread import spread
from warpwright.report.change_line import what_changed
from warpwright.types.answer import ConfigPlan, Fate
from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import Compiled, Resources, Toolchain, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.program import Kernel
from warpwright.types.study import Activity, CompiledView, ConfigStudy, KernelStudy

SPACE = [
    Config.of({"BM": m, "BN": n}, warps, stages)
    for m in (32, 64, 128)
    for n in (32, 64, 128)
    for stages in (2, 3, 4)
    for warps in (4, 8)
]
RULES = TuningRules(count_max=6)


def study(
    config: Config, binary: str, *, broken: bool = False, active: bool = False
) -> ConfigStudy:
    result = Compiled(
        config, "as called", Resources(64, 0, 0, 8192, 128), binary, Toolchain("3.7.1")
    )
    limit = (Unlaunchable("shared memory per block", 2, 1, "B"),) if broken else ()
    activity = Activity.ACTIVE if active else Activity.UNKNOWN
    return ConfigStudy(config, (CompiledView(result, None, limit),), activity=activity)


def plan_of(*studies: ConfigStudy, pruned: tuple[Config, ...] = ()) -> ConfigPlan:
    return choose(KernelStudy("k", True, studies), (), RULES, pruned=pruned)


def line(plan: ConfigPlan) -> str:
    kernel = Kernel("k", 1, 1, (), None, {}, (), (), (), (), False)
    return what_changed([plan], [KernelCalls(kernel, ())])


def test_those_that_stay_span_every_dimension_of_the_list() -> None:
    kept = spread(SPACE, 6)
    assert len(kept) == 6
    for name in ("BM", "BN"):
        values = {config.meta_dict[name] for config in kept}
        assert {32, 128} <= values
    assert {config.num_warps for config in kept} == {4, 8}
    assert {2, 4} <= {config.num_stages for config in kept}


@given(st.lists(st.sampled_from(SPACE), unique=True), st.integers(0, 8), st.randoms())
def test_a_spread_is_a_part_of_the_list_as_large_as_there_is_room(
    configs: list[Config], room: int, random: object
) -> None:
    kept = spread(configs, room)
    assert len(kept) == len(set(kept)) == min(room, len(configs))
    assert set(kept) <= set(configs)


def test_what_is_present_is_kept_away_from() -> None:
    near, far = Config.of({"B": 64}, 4, 2), Config.of({"B": 1024}, 8, 4)
    assert spread([near, far], 1, [Config.of({"B": 64}, 4, 3)]) == (far,)


def test_distinct_configs_are_left_out_by_the_limit_and_never_called_redundant() -> None:
    plan = plan_of(*(study(config, f"b{i}") for i, config in enumerate(SPACE)))
    gone = [choice for choice in plan.choices if not choice.kept]
    assert {choice.fate for choice in gone} == {Fate.LIMIT}
    assert all("left out by the request's limit of 6" in choice.reason for choice in gone)
    assert {c.meta_dict["BM"] for c in plan.kept} >= {32, 128}
    assert line(plan) == "k: 54 → 6 configs (48 left out by the request's limit of 6, 0 new)"


def test_each_kind_of_loss_is_counted_by_its_own_name() -> None:
    studies = [study(config, f"b{i}") for i, config in enumerate(SPACE[:8])]
    studies += [study(SPACE[8], "b0"), study(SPACE[9], "b1"), study(SPACE[10], "c", broken=True)]
    plan = plan_of(*studies, pruned=(SPACE[11], SPACE[12]))
    assert line(plan) == (
        "k: 13 → 6 configs (2 equal binaries gone, 1 that cannot run gone, 2 that the program's "
        "own pruning never tries here gone, 2 left out by the request's limit of 6, 0 new)"
    )


def test_the_active_one_stays_wherever_it_stands() -> None:
    studies = [study(config, f"b{i}", active=config == SPACE[29]) for i, config in enumerate(SPACE)]
    assert SPACE[29] in plan_of(*studies).kept


def test_what_the_programs_own_pruning_leaves_out_stays_where_the_list_stays() -> None:
    plan = plan_of(
        *(study(config, f"b{i}") for i, config in enumerate(SPACE[:4])), pruned=(SPACE[9],)
    )
    assert plan.kept == (*SPACE[:4], SPACE[9])


def test_equal_binaries_with_different_hooks_are_two() -> None:
    hooked = Config((("BM", 32), ("BN", 32)), 4, 3, pre_hook="clear")
    plan = plan_of(study(SPACE[0], "b"), study(hooked, "b"))
    assert plan.kept == (SPACE[0], hooked)
