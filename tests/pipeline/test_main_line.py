"""The main line on a small real program: answered, checked, and what is wrong refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from warpwright import api
from warpwright.data.stages import find_stage
from warpwright.formats.request_text import parse_request, render_request
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.request_study import foreign_kernel_findings
from warpwright.program.view import read_program
from warpwright.report.explanation import explain
from warpwright.report.record import answer_record
from warpwright.report.schema import AnswerRecord
from warpwright.types.answer import Answer, Decision
from warpwright.types.config import Config
from warpwright.types.edit import EditKind
from warpwright.types.request import KernelProfile, Profile, Request
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.stage import Rule, Stage
from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(640, 384), torch.rand(384, 520)]


def get_init_inputs():
    return []
"""
PROGRAM = """import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"TILE_M": 32, "TILE_N": 32, "TILE_K": 32}, num_warps=4, num_stages=2),
        # the same loop, unrolled: stages do nothing
        triton.Config({"TILE_M": 64, "TILE_N": 32, "TILE_K": 32}, num_warps=4, num_stages=2),
        triton.Config({"TILE_M": 32, "TILE_N": 32, "TILE_K": 128}, num_warps=4, num_stages=5),
    ],
    key=["m", "n", "k"],
)
@triton.jit
def product_kernel(
    a_ptr, b_ptr, c_ptr, m, n, k,
    TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr,
):
    rows = tl.program_id(0) * TILE_M + tl.arange(0, TILE_M)
    columns = tl.program_id(1) * TILE_N + tl.arange(0, TILE_N)
    total = tl.zeros((TILE_M, TILE_N), dtype=tl.float32)
    for start in range(0, k, TILE_K):
        depth = start + tl.arange(0, TILE_K)
        left = tl.load(
            a_ptr + rows[:, None] * k + depth[None, :],
            mask=(rows[:, None] < m) & (depth[None, :] < k),
            other=0.0,
        )
        right = tl.load(
            b_ptr + depth[:, None] * n + columns[None, :],
            mask=(depth[:, None] < k) & (columns[None, :] < n),
            other=0.0,
        )
        total += tl.dot(left, right, input_precision="ieee")
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c_ptr + rows[:, None] * n + columns[None, :], total, mask=inside)


def product(a, b):
    m, k = a.shape
    n = b.shape[1]
    c = torch.empty((m, n), device=a.device, dtype=a.dtype)

    def grid(meta):
        return (triton.cdiv(m, meta["TILE_M"]), triton.cdiv(n, meta["TILE_N"]))

    product_kernel[grid](a, b, c, m, n, k)
    return c


class ModelNew(nn.Module):
    def forward(self, a, b):
        return product(a.contiguous(), b.contiguous())
"""
ACTIVE = Config.of({"TILE_M": 64, "TILE_N": 32, "TILE_K": 32}, 4, 2)


def document(
    program: str = PROGRAM,
    *,
    with_problem: bool = True,
    stage: Stage | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """A tuning request for an RTX 4090; the profile's grid is that of `ACTIVE`."""
    profile = KernelProfile(
        "product_kernel", ({"launch__grid_size": 10 * 17.0, **(metrics or {})},)
    )
    return render_request(
        Request(
            gpu=stated_gpu(find_gpu("4090")),
            stage=stage or find_stage("tuning"),
            program=program,
            profile=Profile((profile,)),
            problem=PROBLEM if with_problem else None,
        )
    )


@pytest.fixture(scope="module")
def answered() -> Answer:
    return api.answer(document())


def test_the_answer_keeps_what_can_run_drops_what_cannot_and_tries_what_is_near(
    answered: Answer,
) -> None:
    assert answered.decision is Decision.CHANGED
    (kernel,) = read_program(answered.program).launched_kernels
    assert kernel.autotune is not None
    configs = kernel.autotune.configs
    assert configs is not None
    assert 3 <= len(configs) <= 6
    assert ACTIVE in configs
    assert all(config.meta_dict["TILE_K"] != 128 for config in configs)
    assert answered.gate.status is Status.PASS


def test_only_the_config_list_differs(answered: Answer) -> None:
    before = PROGRAM.split("configs=[")[0], PROGRAM.split("key=[")[1]
    after = answered.program.split("configs=[")[0], answered.program.split("key=[")[1]
    assert before == after
    assert "# the same loop, unrolled: stages do nothing" in answered.program


def test_the_active_config_is_found_from_the_grid(answered: Answer) -> None:
    (kernel,) = answered.study.kernels
    assert [study.config for study in kernel.active] == [ACTIVE]
    assert kernel.active[0].grid == (10, 17)


def test_every_config_of_the_answer_was_checked_for_accuracy(answered: Answer) -> None:
    checked = {case.config for case in answered.gate.accuracy_cases}
    (kernel,) = read_program(answered.program).launched_kernels
    assert kernel.autotune is not None
    metas = {config.meta for config in kernel.autotune.configs or ()}
    assert len(checked) == len(metas)
    assert all(case.status is Status.PASS for case in answered.gate.accuracy_cases if case.gating)


def test_the_explanation_names_the_number_that_rules_a_config_out(answered: Answer) -> None:
    text = explain(answered)
    assert "101,376" in text
    assert "not measured" in text
    assert "can never run" in text


def test_the_record_is_json_of_its_own_schema(answered: Answer) -> None:
    text = answer_record(answered, "a run").model_dump_json()
    assert AnswerRecord.model_validate_json(text).program == answered.program


def test_the_answer_passes_check(answered: Answer) -> None:
    assert api.check(document(), answered.program).status is Status.PASS


def test_a_program_that_cannot_run_at_all_comes_back_with_that_reason() -> None:
    broken = PROGRAM.replace("tl.zeros(", "tl.zeroes(")
    answer = api.answer(document(broken, with_problem=False))
    assert (answer.decision, answer.program) == (Decision.KEPT, broken)
    assert answer.reason.startswith("the program itself cannot run on RTX 4090")
    assert "no attribute 'zeroes'" in explain(answer)


def test_without_shapes_accuracy_is_not_verified_and_never_passed() -> None:
    gate = api.check(document(with_problem=False), PROGRAM)
    (accuracy,) = [result for result in gate.results if result.check == "accuracy"]
    assert accuracy.status is Status.NOT_VERIFIED
    assert "no input shapes" in accuracy.notes[0]


WRONG = {
    "a deleted dot": (
        'total += tl.dot(left, right, input_precision="ieee")',
        "total += tl.sum(left) + tl.sum(right)",
        "accuracy",
    ),
    "a changed loop bound": ("range(0, k, TILE_K)", "range(0, k - TILE_K, TILE_K)", "accuracy"),
    "a dropped mask": (
        "            mask=(rows[:, None] < m) & (depth[None, :] < k),\n            other=0.0,\n",
        "",
        "accuracy",
    ),
    "the work given to torch": (
        "    product_kernel[grid](a, b, c, m, n, k)\n    return c",
        "    product_kernel[grid](a, b, c, m, n, k)\n    return F.linear(a, b.t())",
        "linear",
    ),
    "other tiles": ('"TILE_M": 32, "TILE_N": 32', '"TILE_M": 16, "TILE_N": 32', "TILE_M"),
    "five stages": (
        'TILE_M": 32, "TILE_N": 32, "TILE_K": 32}, num_warps=4, num_stages=2',
        'TILE_M": 32, "TILE_N": 32, "TILE_K": 32}, num_warps=4, num_stages=5',
        "num_stages",
    ),
    "a missing import": ("import triton.language as tl\n", "", "tl"),
    "test code": ("class ModelNew", 'print("hello")\n\n\nclass ModelNew', "format"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_its_reason(name: str) -> None:
    old, new, reason = WRONG[name]
    assert old in PROGRAM
    gate = api.check(document(), f"Here it is:\n\n```python\n{PROGRAM.replace(old, new, 1)}```\n")
    assert gate.status is Status.FAIL
    assert any(reason in f"{v.rule} {v.expected} {v.found}" for v in gate.violations), [
        str(violation) for violation in gate.violations
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a deleted dot", EditKind.OPERATION_REMOVED),
        ("a changed loop bound", EditKind.LOOP_BOUND),
        ("a dropped mask", EditKind.MASK_REMOVED),
    ],
)
def test_the_edit_behind_a_wrong_output_is_told(name: str, kind: EditKind) -> None:
    old, new, _ = WRONG[name]
    gate = api.check(document(), PROGRAM.replace(old, new, 1))
    assert kind in {edit.kind for edit in gate.beyond_stage}


def test_lines_of_violations_are_those_of_the_reply() -> None:
    gate = api.check(document(), f"Prose.\n```python\n{PROGRAM}import os\n```\n")
    lines = {v.line for v in gate.violations if "os" in v.found}
    assert lines == {PROGRAM.count("\n") + 3}


def test_a_subtle_error_that_reading_allows_is_caught_by_running() -> None:
    """Swapped strides keep every operation, mask and bound."""
    right = "rows[:, None] * n + columns[None, :], total"
    wrong = PROGRAM.replace(right, "columns[None, :] * m + rows[:, None], total")
    assert wrong != PROGRAM
    gate = api.check(document(), wrong)
    failed = [result.check for result in gate.results if result.status is Status.FAIL]
    assert "accuracy" in failed or "rules" in failed


def test_a_reply_with_a_syntax_error_is_a_violation_with_its_line() -> None:
    broken = PROGRAM.replace("def product(a, b):", "def product(a, b:")
    gate = api.check(document(), f"```python\n{broken}```\n")
    (violation,) = gate.violations
    assert violation.rule == "format.syntax"
    assert violation.line == PROGRAM[: PROGRAM.index("def product(a")].count("\n") + 2


def test_a_config_that_a_conditional_rule_forbids_takes_no_other_down_with_it() -> None:
    """Whether a rule on registers binds is known only of compiled configs."""
    stage = replace(
        find_stage("tuning"),
        rules=(
            Rule("num_warps.domain", {"values": (2, 4, 8)}),
            Rule("num_stages.domain", {"values": (2, 3)}),
            Rule(
                "num_stages.when",
                {"strength": "keep", "value": 2, "registers_above": 16},
                text="Keep num_stages=2 above 16 registers",
            ),
        ),
    )
    few = {"sm__warps_active.avg.pct_of_peak_sustained_active": 20.0}
    answer = api.answer(document(stage=stage, metrics=few))
    (plan,) = answer.plans
    new = [choice for choice in plan.choices if choice.proposed]
    told = {c.config.num_stages: c.reason for c in new if c.config.num_stages != 2}
    assert told and all(reason.startswith("breaks num_stages.when") for reason in told.values())
    assert answer.decision is Decision.CHANGED
    assert any(choice.kept for choice in new), [(str(c.config), c.reason) for c in new]
    assert all(config.num_stages != 3 for config in plan.kept)


def test_a_parent_that_stays_says_what_became_of_the_new_configs() -> None:
    stage = replace(
        find_stage("tuning"),
        rules=(
            Rule("num_warps.when", {"strength": "use", "value": 4, "registers_above": 1}),
            Rule("num_stages.when", {"strength": "use", "value": 2, "registers_above": 1}),
        ),
    )
    only = PROGRAM.replace(PROGRAM.split("# the same loop")[1].split("key=[")[0], "\n    ],\n    ")
    answer = api.answer(document(only, stage=stage, with_problem=False))
    assert answer.decision is Decision.KEPT
    assert "of 3 new configs none is of use" in answer.reason
    assert "breaks num_" in answer.reason


HALF_WRITTEN = PROGRAM.replace('triton.cdiv(m, meta["TILE_M"])', "triton.cdiv(m, 64)")
"""The grid is that of tiles of 64 rows: with 32, half of the rows are never written."""


@pytest.mark.slow
def test_a_wrong_config_goes_where_nothing_else_would_change() -> None:
    wrong = HALF_WRITTEN
    impossible = PROGRAM[
        PROGRAM.index('        triton.Config({"TILE_M": 32, "TILE_N": 32, "TILE_K": 128') :
    ].split("\n")[0]
    wrong = wrong.replace(f"{impossible}\n", "")
    still = replace(
        find_stage("tuning"),
        rules=(
            Rule("num_warps.domain", {"values": (4,)}),
            Rule("num_stages.domain", {"values": (2,)}),
        ),
    )
    answer = api.answer(document(wrong, stage=still))
    assert answer.decision is Decision.CHANGED, answer.reason
    assert "2 → 1 configs (1 wrong gone, 0 new)" in answer.reason
    assert 'triton.Config({"TILE_M": 32' not in answer.program


def test_kernels_of_libraries_in_the_profile_are_told_and_left_out() -> None:
    text = document(with_problem=False)
    entry = '"product_kernel": {'
    assert text.count(entry) == 1
    mixed = text.replace(entry, '"ampere_sgemm_128x64_nn": {"launch__grid_size": 9}, ' + entry)
    (finding,) = foreign_kernel_findings(parse_request(mixed), ["product_kernel"])
    assert "ampere_sgemm_128x64_nn" in finding.text
    assert foreign_kernel_findings(parse_request(text), ["product_kernel"]) == ()


@pytest.mark.slow
def test_without_a_reference_own_configs_that_differ_are_told() -> None:
    shapes = (TensorSpec((640, 384), "float32"), TensorSpec((384, 520), "float32"))
    text = document(HALF_WRITTEN, with_problem=False)
    answer = api.answer(text, problem=Problem(inputs=shapes, origin="shapes alone"))
    assert answer.decision is Decision.KEPT
    assert "own configs give different outputs" in answer.reason
    assert "TILE_M=32" in answer.reason
