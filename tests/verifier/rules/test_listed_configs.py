"""Rules on config lists: domains, steps, counts, and originals where the rules conflict."""

from __future__ import annotations

from types import ModuleType

import pytest
from texts import replace_once

from warpwright.types.compiled import Unlaunchable
from warpwright.types.config import Config
from warpwright.types.stage import Rule, StageId
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules


def tile(m: int = 64, warps: int = 4, stages: int = 2, n: int = 64, k: int = 32) -> Config:
    return Config.of({"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k}, warps, stages)


A, B = tile(), tile(32, stages=3)  # the originals of the matmul
KERNEL = "project_kernel"


def checked(
    lab: ModuleType, parent: list[Config], child: list[Config], **evidence: object
) -> CheckResult:
    stage = evidence.pop("stage", None) or lab.tuning_stage()
    sources = [lab.with_configs(lab.MATMUL, *configs) for configs in (parent, child)]
    return check_rules(lab.context_of(*sources, stage, **evidence))


def test_one_new_config_near_the_originals_passes(lab: ModuleType) -> None:
    assert checked(lab, [A, B], [A, B, tile(stages=3)]).status is Status.PASS


@pytest.mark.parametrize(
    ("new", "rule"),
    [
        (tile(stages=5), "num_stages.domain"),
        (tile(stages=4), "num_stages.step"),
        (tile(warps=32), "num_warps.domain"),
        (tile(warps=16), "configs.nearby"),
        (tile(m=128), "block_sizes.frozen"),
    ],
)
def test_a_new_config_outside_a_rule_is_named(lab: ModuleType, new: Config, rule: str) -> None:
    result = checked(lab, [A, B], [A, B, new])
    assert rule in lab.rule_ids(result.violations)


def test_an_original_outside_the_domain_may_stay_and_is_told(lab: ModuleType) -> None:
    old = tile(stages=1)
    result = checked(lab, [old, A], [old, A, tile(stages=3)])
    assert result.status is Status.PASS
    assert any("may stay as they are" in note for note in result.notes)


def test_a_new_config_outside_the_domain_is_refused_even_beside_such_an_original(
    lab: ModuleType,
) -> None:
    old = tile(32, stages=1)
    result = checked(lab, [A, old], [A, old, tile(stages=1)])
    assert "num_stages.domain" in lab.rule_ids(result.violations)


def test_too_many_configs_are_refused(lab: ModuleType) -> None:
    new = [tile(warps=w, stages=s) for w in (2, 8) for s in (2, 3)] + [tile(stages=3)]
    assert "configs.count" in lab.rule_ids(checked(lab, [A, B], [A, B, *new]).violations)


def test_too_few_configs_are_refused_where_an_original_was_changed(lab: ModuleType) -> None:
    result = checked(lab, [A], [A, tile(stages=3)])
    assert "configs.count" in lab.rule_ids(result.violations)


def test_too_few_pass_where_only_distinct_originals_are_left(lab: ModuleType) -> None:
    evidence = lab.evidence_of(KERNEL, {A: "one", B: "one", tile(stages=3): "two"})
    result = checked(lab, [A, B, tile(stages=3)], [A, tile(stages=3)], parent_evidence=evidence)
    assert result.status is Status.PASS
    assert any("nothing was added" in note for note in result.notes)


def test_too_few_pass_where_no_other_config_exists(lab: ModuleType) -> None:
    result = checked(lab, [A], [A, tile(stages=3)], exhausted=frozenset({KERNEL}))
    assert result.status is Status.PASS
    assert any("no other distinct config" in note for note in result.notes)


def test_the_same_config_twice_does_not_fill_a_list(lab: ModuleType) -> None:
    result = checked(lab, [A], [A, A, tile(stages=3)])
    assert "configs.count" in lab.rule_ids(result.violations)


def test_an_untouched_list_is_never_blamed(lab: ModuleType) -> None:
    nine = [tile(m, w, s) for m in (16, 32, 64) for w in (4, 8) for s in (2, 3)][:9]
    result = checked(lab, nine, list(reversed(nine)))
    assert result.status is Status.PASS
    assert any("keeps the parent's 9 configs" in note for note in result.notes)


def test_dropping_an_original_is_refused_where_all_fit(lab: ModuleType) -> None:
    result = checked(lab, [A, B], [A, tile(stages=3), tile(warps=8)])
    assert lab.rule_ids(result.violations) == {"configs.keep_original"}


def test_an_original_with_the_binary_of_another_may_go(lab: ModuleType) -> None:
    other = tile(stages=3)
    evidence = lab.evidence_of(KERNEL, {A: "same", other: "same", B: "else"})
    child = [A, B, tile(warps=8)]
    assert checked(lab, [A, other, B], child, parent_evidence=evidence).status is Status.PASS


def test_an_original_that_can_never_launch_may_go(lab: ModuleType) -> None:
    large = tile(256, stages=3)
    why = Unlaunchable("shared memory per block", 163_840, 101_376, "B")
    evidence = lab.evidence_of(KERNEL, {A: "a", B: "b", large: "c"}, {large: why})
    child = [A, B, tile(stages=3)]
    result = checked(lab, [A, B, large], child, parent_evidence=evidence)
    assert result.status is Status.PASS
    assert any("163,840" in note for note in result.notes)


ORIGINALS = [tile(m, w) for m in (16, 32, 64, 128) for w in (4, 8)][:7]


def distinct(lab: ModuleType) -> object:
    return lab.evidence_of(KERNEL, {config: str(i) for i, config in enumerate(ORIGINALS)})


def test_where_originals_do_not_fit_the_active_one_and_as_many_as_fit_stay(
    lab: ModuleType,
) -> None:
    evidence, active = distinct(lab), {KERNEL: frozenset({ORIGINALS[0]})}
    result = checked(lab, ORIGINALS, ORIGINALS[:6], parent_evidence=evidence, active=active)
    assert result.status is Status.PASS
    assert any("the active one must stay" in note for note in result.notes)


def test_where_originals_do_not_fit_dropping_the_active_one_is_refused(lab: ModuleType) -> None:
    evidence, active = distinct(lab), {KERNEL: frozenset({ORIGINALS[6]})}
    result = checked(lab, ORIGINALS, ORIGINALS[:6], parent_evidence=evidence, active=active)
    assert any("active config" in violation.expected for violation in result.violations)


def test_every_config_that_may_have_been_active_stays(lab: ModuleType) -> None:
    evidence = distinct(lab)
    active = {KERNEL: frozenset({ORIGINALS[0], ORIGINALS[6]})}
    result = checked(lab, ORIGINALS, ORIGINALS[:6], parent_evidence=evidence, active=active)
    assert lab.rule_ids(result.violations) == {"configs.keep_original"}


def test_new_configs_do_not_push_out_originals_that_fit(lab: ModuleType) -> None:
    evidence, active = distinct(lab), {KERNEL: frozenset({ORIGINALS[0]})}
    child = [*ORIGINALS[:4], tile(16, 4, 3), tile(32, 4, 3)]
    result = checked(lab, ORIGINALS, child, parent_evidence=evidence, active=active)
    assert any("4 kept" in violation.found for violation in result.violations)


def test_without_evidence_what_does_not_fit_is_not_verified(lab: ModuleType) -> None:
    result = checked(lab, ORIGINALS, ORIGINALS[:6])
    assert result.status is Status.FAIL or result.status is Status.NOT_VERIFIED
    assert not result.violations
    assert any("not known which config was active" in note for note in result.notes)


def test_a_list_that_code_builds_is_not_verified(lab: ModuleType) -> None:
    start = lab.MATMUL.index("configs=[")
    end = lab.MATMUL.index("],", start) + 2
    child = lab.MATMUL[:start] + "configs=make_configs()," + lab.MATMUL[end:]
    child = "from elsewhere import make_configs\n" + child
    result = check_rules(lab.context_of(lab.MATMUL, child, lab.tuning_stage()))
    assert result.status is Status.NOT_VERIFIED


def test_the_conservative_config_is_asked_for_in_a_changed_list(lab: ModuleType) -> None:
    stage = lab.stage_of(StageId.TUNING, Rule("configs.include", {"num_warps": 4, "num_stages": 2}))
    child = [tile(stages=3), tile(warps=8)]
    assert lab.rule_ids(checked(lab, [A, B], child, stage=stage).violations) == {"configs.include"}
    assert checked(lab, [A, B], [A, *child], stage=stage).status is Status.PASS


def test_options_inside_the_dictionary_count_as_what_triton_makes_of_them(
    lab: ModuleType,
) -> None:
    meta = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32}
    child = [Config.of({**meta, "num_warps": warps}, 4, 2) for warps in (2, 8, 16)]
    result = checked(lab, [A, B], child)
    assert any("has no effect" in note for note in result.notes)
    assert "configs.count" in lab.rule_ids(result.violations)


def test_the_list_of_a_kernel_that_answers_none_of_the_parents_is_held_to_count_and_domains(
    lab: ModuleType,
) -> None:
    """Two kernels gone for one new one: there is no original, the request's limits hold."""
    spare = "def spare(x):\n    scale_kernel[(1,)](x, x, 4, 2.0, BLOCK=4)\n\n\nclass ModelNew"
    start, end = lab.SCALE.index("@triton.jit"), lab.SCALE.index("def scale(")
    parent = lab.replaced(lab.MATMUL, "class ModelNew", lab.SCALE[start:end] + spare)
    parent = replace_once(
        parent, "return project(x, self.weight)", "return project(spare(x), self.weight)"
    )

    def child(*configs: Config) -> str:
        source = lab.with_configs(lab.MATMUL, *configs).replace("project_kernel", "gemm")
        return str(
            source.replace("x_ptr", "left").replace("w_ptr", "right").replace("y_ptr", "out")
        )

    def broken(*configs: Config) -> set[str]:
        context = lab.context_of(parent, child(*configs), lab.tuning_stage())
        return set(lab.rule_ids(check_rules(context).violations)) - {"configs.keep_original"}

    assert broken(A, B, tile(128)) == set()
    assert broken(A, B) == {"configs.count"}
    assert broken(A, A, A) == {"configs.count"}
    assert broken(A, B, tile(warps=32)) == {"num_warps.domain"}
    assert broken(A, B, tile(stages=6)) == {"num_stages.domain"}
