"""Kernels without autotune: their launch is the one original config."""

from __future__ import annotations

from types import ModuleType

from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules

LIST = "@triton.autotune(\n    configs=[\n%s    ],\n    key=['n'],\n)\n@triton.jit"


def tuned(lab: ModuleType, *configs: str, keep_block: bool = True) -> str:
    lines = "".join(f"        triton.Config({config}),\n" for config in configs)
    child = lab.replaced(lab.SCALE, "@triton.jit", LIST % lines)
    block = ", BLOCK=BLOCK)" if keep_block else ")"
    return lab.replaced(child, ", BLOCK=BLOCK, num_warps=4)", block)


def checked(lab: ModuleType, child: str) -> CheckResult:
    return check_rules(lab.context_of(lab.SCALE, child, lab.tuning_stage()))


def test_a_kernel_may_stay_without_autotune(lab: ModuleType) -> None:
    child = lab.SCALE + "\n# nothing\n"
    assert checked(lab, child).status is Status.PASS


def test_a_list_with_the_launch_s_own_config_passes(lab: ModuleType) -> None:
    child = tuned(lab, "{}, num_warps=4", "{}, num_warps=8", "{}, num_warps=4, num_stages=2")
    assert checked(lab, child).status is Status.PASS


def test_the_block_size_may_move_from_the_launch_into_the_configs(lab: ModuleType) -> None:
    options = ("num_warps=4", "num_warps=8", "num_warps=4, num_stages=2")
    child = tuned(lab, *(f"{{'BLOCK': 1024}}, {o}" for o in options), keep_block=False)
    child = lab.replaced(
        child, "(triton.cdiv(n, BLOCK),)", "lambda m: (triton.cdiv(n, m['BLOCK']),)"
    )
    assert checked(lab, child).status is Status.PASS


def test_a_list_without_the_launch_s_own_config_is_refused(lab: ModuleType) -> None:
    child = tuned(lab, "{}, num_warps=8", "{}, num_warps=8, num_stages=2", "{}, num_warps=2")
    assert lab.rule_ids(checked(lab, child).violations) == {"configs.keep_original"}


def test_another_block_size_in_the_configs_is_refused(lab: ModuleType) -> None:
    options = ("{'BLOCK': 1024}, num_warps=4", "{'BLOCK': 2048}, num_warps=4", "{'BLOCK': 1024}")
    child = tuned(lab, *options, keep_block=False)
    assert "block_sizes.frozen" in lab.rule_ids(checked(lab, child).violations)


def test_another_block_size_at_the_launch_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "BLOCK = 1024", "BLOCK = 512")
    assert "block_sizes.frozen" in lab.rule_ids(checked(lab, child).violations)


def test_a_block_size_given_twice_is_refused_as_triton_does(lab: ModuleType) -> None:
    child = tuned(
        lab, "{'BLOCK': 1024}, num_warps=4", "{'BLOCK': 1024}, num_warps=8", "{'BLOCK': 1024}"
    )
    assert "launch.arguments" in lab.rule_ids(checked(lab, child).violations)


def test_warps_at_the_launch_of_an_autotuned_kernel_are_refused(lab: ModuleType) -> None:
    child = tuned(lab, "{}, num_warps=4", "{}, num_warps=8", "{}, num_warps=2")
    child = lab.replaced(child, ", BLOCK=BLOCK)", ", BLOCK=BLOCK, num_warps=4)")
    assert "launch.arguments" in lab.rule_ids(checked(lab, child).violations)


def test_warps_that_the_host_chooses_are_not_verified(lab: ModuleType) -> None:
    parent = lab.replaced(lab.SCALE, "num_warps=4)", "num_warps=4 if n > 4096 else 8)")
    child = lab.replaced(lab.SCALE, "num_warps=4)", "num_warps=2 if n > 4096 else 8)")
    result = check_rules(lab.context_of(parent, child, lab.tuning_stage()))
    assert result.status is Status.NOT_VERIFIED
