"""Rules on BLOCK sizes, for what a candidate adds."""

from __future__ import annotations

from types import ModuleType

import pytest
from texts import replace_once

from warpwright.types.config import Config
from warpwright.types.stage import Rule, StageId
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules


def tile(m: int, n: int = 64, k: int = 32, warps: int = 4, stages: int = 2) -> Config:
    return Config.of({"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k}, warps, stages)


def checked(lab: ModuleType, configs: list[Config], *rules: Rule) -> CheckResult:
    child = lab.with_configs(lab.MATMUL, *configs)
    return check_rules(lab.context_of(lab.MATMUL, child, lab.stage_of(StageId.TILING, *rules)))


M_N = ("BLOCK_M", "BLOCK_N")


@pytest.mark.parametrize(
    ("new", "rule", "passes"),
    [
        (tile(128), Rule("block_sizes.power_of_two"), True),
        (tile(96), Rule("block_sizes.power_of_two"), False),
        (tile(128), Rule("block_sizes.domain", {"names": M_N, "values": (32, 64, 128)}), True),
        (tile(256), Rule("block_sizes.domain", {"names": M_N, "values": (32, 64, 128)}), False),
        (tile(64, k=16), Rule("block_sizes.domain", {"names": M_N, "values": (32, 64)}), True),
        (tile(24), Rule("block_sizes.multiple", {"names": M_N, "of": 16}), False),
        (tile(48), Rule("block_sizes.multiple", {"names": M_N, "of": 16}), True),
    ],
)
def test_a_new_tile_is_held_to_the_rule(
    lab: ModuleType, new: Config, rule: Rule, passes: bool
) -> None:
    result = checked(lab, [tile(64), new], rule)
    assert (result.status is Status.PASS) is passes, result.violations


def test_a_preference_is_told_and_not_held_against_the_tile(lab: ModuleType) -> None:
    rule = Rule("block_sizes.multiple", {"names": M_N, "of": 16, "preference": True})
    result = checked(lab, [tile(64), tile(24)], rule)
    assert result.status is Status.PASS
    assert any("preferred" in note for note in result.notes)


def test_a_rule_for_element_wise_kernels_leaves_a_matmul_alone(lab: ModuleType) -> None:
    rule = Rule("block_sizes.domain", {"names": M_N, "values": (256,), "when": "element-wise"})
    assert checked(lab, [tile(64), tile(128)], rule).status is Status.PASS


def test_the_original_tile_stays_among_the_configs(lab: ModuleType) -> None:
    rule = Rule("block_sizes.keep_baseline")
    assert checked(lab, [tile(64), tile(128)], rule).status is Status.PASS
    assert checked(lab, [tile(128), tile(16)], rule).status is Status.FAIL


def test_blocks_or_launch_options_vary_not_both(lab: ModuleType) -> None:
    parent = lab.with_configs(lab.MATMUL, tile(64))
    stage = lab.stage_of(StageId.GRID, Rule("autotune.blocks_or_launch"))
    for configs, status in (
        ([tile(64), tile(128)], Status.PASS),
        ([tile(64), tile(64, warps=8)], Status.PASS),
        ([tile(64), tile(128, warps=8)], Status.FAIL),
    ):
        child = lab.with_configs(lab.MATMUL, *configs)
        assert check_rules(lab.context_of(parent, child, stage)).status is status


def test_autotune_on_a_wrapper_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "def project(", "@triton.autotune(configs=[], key=[])\ndef project("
    )
    stage = lab.stage_of(StageId.TILING, Rule("autotune.on_kernel"))
    result = check_rules(lab.context_of(lab.MATMUL, child, stage))
    assert "autotune.on_kernel" in lab.rule_ids(result.violations)


def test_a_block_size_assigned_again_in_the_kernel_is_refused(lab: ModuleType) -> None:
    child = replace_once(
        lab.replaced(
            lab.MATMUL,
            "    total = tl.zeros",
            "    BLOCK_K: tl.constexpr = 16\n    total = tl.zeros",
        ),
        "BLOCK_K: tl.constexpr = 16",
        "BLOCK_K = 16",
    )
    result = check_rules(lab.context_of(lab.MATMUL, child, lab.tuning_stage()))
    assert "block_sizes.frozen" in lab.rule_ids(result.violations)


@pytest.mark.parametrize(
    ("lanes", "refused"),
    [("BLOCK_K * 4", True), ("2 * BLOCK_K", True), ("WIDE", True), ("BLOCK_K", False)],
)
def test_lanes_by_a_multiple_of_a_block_size_are_another_block_size(
    lab: ModuleType, lanes: str, refused: bool
) -> None:
    begin = "    total = tl.zeros"
    child = lab.replaced(lab.MATMUL, begin, f"    WIDE: tl.constexpr = BLOCK_K * 2\n{begin}")
    assert "tl.arange(0, BLOCK_K)" in child
    child = child.replace("tl.arange(0, BLOCK_K)", f"tl.arange(0, {lanes})")
    result = check_rules(lab.context_of(lab.MATMUL, child, lab.tuning_stage()))
    assert ("block_sizes.frozen" in lab.rule_ids(result.violations)) is refused
