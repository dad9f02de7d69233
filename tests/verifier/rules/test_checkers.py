"""All rules of a stage together, and which edits a stage is for."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.data.rules import CheckedBy, rule_definitions
from warpwright.types.edit import EditKind
from warpwright.types.stage import Rule, StageId
from warpwright.types.verdict import Status
from warpwright.verifier.rules.checkers import CHECKERS, DECIDED_BY_ACCURACY, check_rules
from warpwright.verifier.rules.finding import RuleReading
from warpwright.verifier.rules.semantics import lost_work
from warpwright.verifier.rules.stage_scope import classify_edits


def test_a_rule_that_nothing_covers_is_listed_with_its_text(lab: ModuleType) -> None:
    rules = (
        Rule("unchecked", {"text": "Be bold"}, text="Be bold"),
        Rule("grid.has_group_axis", text="Ensure the group dimension is in the grid"),
        Rule("gain.minimum", {"low_pct": 1.0, "high_pct": 2.0}),
        Rule("block_sizes.start", {"names": ("BLOCK",), "values": (256,)}),
    )
    stage = lab.stage_of(StageId.TUNING, *rules)
    result = check_rules(lab.context_of(lab.MATMUL, lab.MATMUL, stage))
    assert result.status is Status.PASS
    assert result.unchecked == ("Be bold", "Ensure the group dimension is in the grid")
    assert "gain.minimum: decided by measurement" in result.notes


def test_every_rule_that_reading_can_break_has_a_checker() -> None:
    kinds = {CheckedBy.DIFFERENCE, CheckedBy.CONFIGS}
    named = {i for i, definition in rule_definitions().items() if definition.checked in kinds}
    without = named - CHECKERS.keys() - DECIDED_BY_ACCURACY
    assert without == {"fusion.same_grid", "fusion.broadcast_explicit"}


def test_every_checker_is_for_a_rule_of_the_registry() -> None:
    assert set(CHECKERS) <= set(rule_definitions())


def test_configs_are_in_the_tuning_stage_and_the_body_is_beyond_it(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "num_warps=4, num_stages=2", "num_warps=4, num_stages=3")
    child = lab.replaced(child, "total += tl.dot(x, w)", "total = total + tl.dot(x, w)")
    context = lab.context_of(lab.MATMUL, child, lab.tuning_stage())
    in_stage, beyond, forbidden = classify_edits(context.stage, context.edits)
    assert {edit.kind for edit in in_stage} == {EditKind.CONFIG_ADDED, EditKind.CONFIG_REMOVED}
    assert {edit.kind for edit in beyond} == {EditKind.KERNEL_BODY}
    assert forbidden == ()


def test_lost_work_is_forbidden_in_tuning_and_left_to_outputs_elsewhere(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "total += tl.dot(x, w)", "total += 0.0")
    context = lab.context_of(lab.MATMUL, child, lab.tuning_stage())
    lost = [name for name, found in lost_work(RuleReading.of(context)).items() if found.violations]
    _, _, forbidden = classify_edits(context.stage, context.edits, lost)
    assert EditKind.OPERATION_REMOVED in {edit.kind for edit in forbidden}
    # The kind of an edit shows nothing by itself: the dot may stand elsewhere.
    assert classify_edits(context.stage, context.edits)[2] == ()
    memory = lab.stage_of(StageId.MEMORY)
    assert classify_edits(memory, context.edits)[2] == ()


@pytest.mark.parametrize("stage_id", list(StageId))
def test_a_program_unchanged_passes_every_stage(lab: ModuleType, stage_id: StageId) -> None:
    for source in (lab.MATMUL, lab.SCALE):
        report = lab.judged(source, source, lab.stage_of(stage_id))
        assert report.status is Status.PASS
        assert report.edits == report.beyond_stage == ()


def test_the_report_lists_body_edits_as_beyond_the_tuning_stage(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "range(0, K, BLOCK_K)", "tl.static_range(0, K, BLOCK_K)")
    report = lab.judged(lab.MATMUL, child)
    assert not report.violations
    assert report.beyond_stage
    assert [result.check for result in report.results] == ["format", "names", "rules", "integrity"]
