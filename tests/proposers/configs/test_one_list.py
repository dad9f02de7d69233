"""Which configs that were measured to be faster stand in one list together."""

from __future__ import annotations

import pytest
import tiled
from tiled import STREAM, SUMMED

from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.emit import emit_plans, reason_to_stand_alone
from warpwright.proposers.configs.one_list import TimedConfigs, as_rules_allow
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.program import ProgramView
from warpwright.types.stage import Rule

pytestmark = pytest.mark.triton
LARGE = Config.of({"BLOCK": 1024}, 8, 3)
MIDDLE = Config.of({"BLOCK": 512}, 8, 3)
SMALL = Config.of({"BLOCK": 32}, 4, 3)
OWN = Config.of({}, 4, 3)


def plan_of(
    *faster: Config, source: str = STREAM, others: tuple[Config, ...] = ()
) -> tuple[ConfigPlan, KernelCalls, TimedConfigs, ProgramView]:
    view, calls, _ = tiled.launched(source)
    choices = (
        ConfigChoice(OWN, False, True, "own"),
        *(ConfigChoice(config, True, True, "faster") for config in faster),
        *(ConfigChoice(config, True, False, "not faster") for config in others),
    )
    timed = TimedConfigs(faster, others, (OWN,))
    return ConfigPlan(calls.name, choices), calls, timed, view


def test_without_such_rules_all_of_them_stand() -> None:
    plan, calls, timed, _ = plan_of(LARGE, SMALL)
    assert as_rules_allow(plan, calls, timed, TuningRules(), None) == plan


def test_a_list_varies_tiles_or_warps_where_the_rules_say_so() -> None:
    rules = TuningRules.of([Rule("autotune.blocks_or_launch")])
    plan, calls, timed, view = plan_of(LARGE, SMALL, MIDDLE)
    found = as_rules_allow(plan, calls, timed, rules, None)
    assert found.kept == (LARGE, MIDDLE)
    plan, calls, timed, _ = plan_of(SMALL, MIDDLE)
    assert as_rules_allow(plan, calls, timed, rules, None).kept == (OWN, SMALL)
    plan, calls, timed, view = plan_of(LARGE)
    only = as_rules_allow(plan, calls, timed, rules, None)
    assert only.kept == (LARGE,)
    assert "BLOCK=1024, num_warps=8)" in emit_plans(view.source, [(only, calls)])


def test_a_smaller_tile_takes_a_place_where_the_rules_ask_for_one() -> None:
    rules = TuningRules.of(
        [Rule("configs.smaller_fallback"), Rule("configs.count", {"min": 2, "max": 3})]
    )
    enough, calls, timed, _ = plan_of(LARGE, SMALL)
    assert as_rules_allow(enough, calls, timed, rules, None) == enough
    same = Config.of({"BLOCK": 64}, 8, 3)
    plan, calls, timed, _ = plan_of(same, Config.of({"BLOCK": 64}, 2, 3), others=(SMALL,))
    found = as_rules_allow(plan, calls, timed, rules, None)
    assert found.kept == (OWN, same, SMALL)


def test_where_there_is_no_smaller_tile_the_fastest_stands_in_no_list() -> None:
    rules = TuningRules.of([Rule("configs.smaller_fallback")])
    plan, calls, timed, view = plan_of(Config.of({}, 8, 3), Config.of({}, 2, 3))
    found = as_rules_allow(plan, calls, timed, rules, None)
    assert found.kept == (Config.of({}, 8, 3),)
    program = emit_plans(view.source, [(found, calls)])
    assert "autotune" not in program and "BLOCK=64, num_warps=8)" in program


def test_only_the_fastest_stands_where_no_tuner_may_try_several() -> None:
    plan, calls, timed, view = plan_of(MIDDLE, SMALL, source=SUMMED)
    why = "one call launches one of several kernels"
    found = as_rules_allow(plan, calls, timed, TuningRules(), why)
    assert found.kept == (MIDDLE,)
    program = emit_plans(view.source, [(found, calls)])
    assert "autotune" not in program
    assert "BLOCK=512, num_warps=8)" in program
    slower, calls, timed, _ = plan_of(source=SUMMED, others=(MIDDLE,))
    kept = as_rules_allow(slower, calls, timed, TuningRules(), why)
    assert kept.kept == (OWN,)
    assert emit_plans(view.source, [(kept, calls)]) == view.source


def test_what_may_be_tuned_need_not_stand_alone() -> None:
    view, calls, _ = tiled.launched(STREAM)
    assert reason_to_stand_alone(view, calls) is None
