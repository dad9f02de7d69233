"""Rules on grids: frozen means the same blocks, however they are written."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.types.request import KernelProfile, Profile
from warpwright.types.stage import Rule, StageId
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules

GRID = 'grid = lambda meta: (triton.cdiv(M, meta["BLOCK_M"]), triton.cdiv(N, meta["BLOCK_N"]))'


def checked(lab: ModuleType, new: str, *rules: Rule, **evidence: object) -> CheckResult:
    child = lab.replaced(lab.MATMUL, GRID, new)
    stage = lab.stage_of(StageId.GRID, *rules)
    return check_rules(lab.context_of(lab.MATMUL, child, stage, **evidence))


SAME = [
    "grid = lambda META: (triton.cdiv(M, META['BLOCK_M']), triton.cdiv(N, META['BLOCK_N']), 1)",
    "def grid(m):\n        return triton.cdiv(M, m['BLOCK_M']), triton.cdiv(N, m['BLOCK_N'])",
    "rows = x.size(0)\n    grid = lambda m: ((rows + m['BLOCK_M'] - 1) // m['BLOCK_M'], "
    "triton.cdiv(w.shape[1], m['BLOCK_N']))",
    "x = x.contiguous()\n    " + GRID,
]


@pytest.mark.parametrize("text", SAME)
def test_the_same_grid_in_other_words_is_frozen(lab: ModuleType, text: str) -> None:
    assert checked(lab, text, Rule("grid.frozen")).status is Status.PASS


@pytest.mark.parametrize(
    "text",
    [
        'grid = lambda m: (triton.cdiv(N, m["BLOCK_N"]), triton.cdiv(M, m["BLOCK_M"]))',
        'grid = lambda m: (triton.cdiv(M, m["BLOCK_M"]) * triton.cdiv(N, m["BLOCK_N"]),)',
        'grid = lambda m: (triton.cdiv(M, m["BLOCK_M"]), triton.cdiv(N, m["BLOCK_N"]) - 1)',
        "grid = (1, 1)",
    ],
)
def test_another_grid_is_not_frozen(lab: ModuleType, text: str) -> None:
    result = checked(lab, text, Rule("grid.frozen"))
    assert lab.rule_ids(result.violations) == {"grid.frozen"}


def test_other_program_id_axes_break_a_frozen_grid(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "tl.program_id(1)", "tl.program_id(2)")
    stage = lab.stage_of(StageId.GRID, Rule("grid.frozen"), Rule("grid.matches_program_ids"))
    result = check_rules(lab.context_of(lab.MATMUL, child, stage))
    assert lab.rule_ids(result.violations) == {"grid.frozen", "grid.matches_program_ids"}


def test_four_dimensions_are_too_many(lab: ModuleType) -> None:
    text = 'grid = lambda m: (triton.cdiv(M, m["BLOCK_M"]), triton.cdiv(N, m["BLOCK_N"]), 2, 2)'
    result = checked(lab, text, Rule("grid.max_dims", {"max": 3}))
    assert "grid.max_dims" in lab.rule_ids(result.violations)


def test_an_axis_that_no_block_reads_is_told(lab: ModuleType) -> None:
    text = 'grid = lambda m: (triton.cdiv(M, m["BLOCK_M"]), triton.cdiv(N, m["BLOCK_N"]), 4)'
    result = checked(lab, text, Rule("grid.matches_program_ids"))
    assert "grid.matches_program_ids" in lab.rule_ids(result.violations)


def test_a_fixed_grid_under_autotuned_blocks_is_refused(lab: ModuleType) -> None:
    text = "grid = (triton.cdiv(M, BLOCK_M), triton.cdiv(N, BLOCK_N))"
    result = checked(lab, "BLOCK_M = BLOCK_N = 64\n    " + text, Rule("grid.meta_lambda"))
    assert "grid.meta_lambda" in lab.rule_ids(result.violations)


OTHER = 'grid = lambda m: (triton.cdiv(M, m["BLOCK_M"]), 2 * triton.cdiv(N, m["BLOCK_N"]))'


@pytest.mark.parametrize(
    ("throughput_pct", "status"),
    [(30.0, Status.PASS), (85.0, Status.FAIL), (None, Status.NOT_VERIFIED)],
)
def test_a_grid_changes_only_where_utilisation_is_low(
    lab: ModuleType, throughput_pct: float | None, status: Status
) -> None:
    metrics = {"sm__throughput.avg.pct_of_peak_sustained_elapsed": throughput_pct}
    profile = Profile((KernelProfile("project_kernel", (metrics,)),))
    rule = Rule("grid.only_if", {"condition": "sm utilization"})
    assert checked(lab, OTHER, rule, profile=profile).status is status
