"""The verifier against recorded replies to tuning requests, and a person's reading of them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from warpwright.errors import InputError
from warpwright.formats.request_text import parse_request
from warpwright.program.difference.difference import difference
from warpwright.program.view import read_program
from warpwright.types.verdict import Status, Verdict
from warpwright.verifier.checks.checks import judge
from warpwright.verifier.rules.rule_context import RuleContext

pytestmark = pytest.mark.cases

TUNING = "advanced_memory"

READ_BY_HAND: dict[str, set[str]] = {
    # Nine configs; warps and stages stand in the dictionary, where they do nothing, so the
    # original of 8 warps is gone.
    "14_Matmul_for_upper_triangular_matrices": {"configs.count", "configs.keep_original"},
    "15_Matmul_for_lower_triangular_matrices": {"configs.keep_original"},
    "16_Matmul_with_transposed_A": {"configs.count"},
    # Stages in the dictionary again: what is launched has 3, the original 2.
    # 87 % of the warps are active, so occupancy suggests no other num_warps (so in others below).
    "21_Sigmoid": {"configs.keep_original", "configs.nearby", "num_warps.only_if"},
    "26_GELU_": set(),
    "28_HardSigmoid": {"configs.keep_original", "configs.nearby", "num_warps.only_if"},
    # A new kernel for the two of the parent: nine configs, some of 32 warps, and num_warps given
    # by the launch as well.
    "30_Softsign": {
        "configs.keep_original", "launch.arguments", "configs.count", "num_warps.domain",
    },
    "33_BatchNorm": {"configs.count", "configs.keep_original", "configs.nearby"},
    "34_InstanceNorm": {"configs.nearby", "num_warps.only_if"},
    "37_FrobeniusNorm_": {
        "num_warps.domain", "configs.nearby", "configs.keep_original", "autotune.safe",
        "num_warps.only_if",
    },
    "38_L1Norm_": {
        "num_warps.domain", "configs.count", "configs.nearby", "configs.keep_original",
        "block_sizes.frozen", "num_warps.only_if",
    },
    "39_L2Norm_": {"configs.count", "autotune.safe"},
    "44_Average_Pooling_1D": set(),  # nine originals, six allowed: told as a conflict
    "45_Average_Pooling_2D": set(),
    "4_Matrix_vector_multiplication_": {"configs.keep_original"},
    "60_conv_standard_3D__square_input__asymmetric_kernel": set(),
    "68_conv_transposed_3D__square_input__asymmetric_kernel": set(),
    "75_conv_transposed_2D_asymmetric_input_asymmetric_kernel_strided__grouped____padded____dilated__":
        {"names.undefined", "num_warps.only_if"},
    "78_conv_transposed_2D_asymmetric_input_asymmetric_kernel___padded__": {"num_warps.only_if"},
    "79_conv_transposed_1D_asymmetric_input_square_kernel___padded____strided____dilated__": {
        "configs.count", "configs.keep_original", "names.undefined",
    },
    "80_conv_standard_2D_square_input_asymmetric_kernel___dilated____padded__": {
        "configs.keep_original", "names.undefined",
    },
    "83_conv_depthwise_2D_square_input_asymmetric_kernel": {"configs.keep_original"},
    "85_conv_depthwise_2D_asymmetric_input_asymmetric_kernel": set(),
    "93_masked_cumsum": {"configs.count", "names.undefined"},
}  # fmt: skip

READ_BY_HAND_LEVEL_2: dict[str, set[str]] = {
    "29_Matmul_Mish_Mish": {"names.undefined"},  # its import of math is gone, math is used
    # Loops over tiles rewritten in all three kernels, in a stage for warps and stages.
    "44_ConvTranspose2d_Multiply_GlobalAvgPool_GlobalAvgPool_Mean": {"stage.semantics"},
    # Launches of (4, 1) became (8, 2); at 33 % active warps only the lost original is wrong.
    "45_Gemm_Sigmoid_LogSumExp": {"configs.keep_original"},
    # 16 warps from 4, at a high occupancy; BLOCK_SIZE from the configs and from the launch.
    "47_Conv3d_Mish_Tanh": {"configs.nearby", "launch.arguments", "num_warps.only_if"},
    # Both kernels renamed; one has three configs that are all the same as launched.
    "4_Conv2d_Mish_Mish": {"configs.keep_original", "configs.count", "launch.arguments"},
    "50_ConvTranspose3d_Scaling_AvgPool_BiasAdd_Scaling": {"launch.arguments"},
    # A grid of four dimensions and another kernel; its tiles come from both sides.
    "74_ConvTranspose3d_LeakyReLU_Multiply_LeakyReLU_Max": {"launch.arguments", "stage.semantics"},
    # A tuner of its own, which passes over what fails; the kernel is rewritten for vectors.
    "7_Conv3d_ReLU_LeakyReLU_GELU_Sigmoid_BiasAdd": {"integrity.fallback", "stage.semantics"},
    # Six configs whose options stand in the dictionary: one as launched.
    "82_Conv2d_Tanh_Scaling_BiasAdd_Max": {"configs.count"},
}

ALLOWED_FOR_WORKING_REPLIES = ("names.", "configs.", "num_", "block_sizes.", "grid.", "autotune.")


def reply_code(reply: str) -> str:
    block = re.search(r"```(?:python)?[ \t]*\n(.*?)```", reply, re.DOTALL)
    return block.group(1) if block else reply


def rows(cases_dir: Path, stage: str | None = None) -> Iterator[dict[str, Any]]:
    with gzip.open(cases_dir / "cases" / "recorded.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["reply"] and stage in (None, row["stage"]):
                yield row


def judged(row: dict[str, Any]) -> Verdict:
    request = parse_request(row["request"])
    child = reply_code(row["reply"])
    return judge(
        RuleContext(
            stage=request.stage,
            parent=read_program(request.program),
            child=read_program(child),
            edits=difference(request.program, child),
            output_rules=request.output_rules,
            profile=request.profile,
        )
    )


@pytest.mark.parametrize(
    ("level", "read"), [("level1", READ_BY_HAND), ("level2", READ_BY_HAND_LEVEL_2)]
)
def test_the_gate_finds_what_a_person_found(
    level: str, read: dict[str, set[str]], cases_dir: Path
) -> None:
    seen = set()
    for row in rows(cases_dir, TUNING):
        if row["level"] == level and row["task"] in read:
            found = {violation.rule for violation in judged(row).violations}
            assert found == read[row["task"]], row["task"]
            seen.add(row["task"])
    assert len(seen) == len(read)


def test_about_half_of_the_tuning_replies_obey_their_rules(cases_dir: Path) -> None:
    statuses = [judged(row).status for row in rows(cases_dir, TUNING)]
    refused = statuses.count(Status.FAIL)
    assert 0.35 < refused / len(statuses) < 0.6


@pytest.mark.slow
def test_replies_that_ran_are_refused_for_rules_and_names_with_few_exceptions(
    cases_dir: Path,
) -> None:
    others = []
    working = 0
    for row in rows(cases_dir):
        if not row["reply_runnable"]:
            continue
        working += 1
        reasons = {v.rule for v in judged(row).violations}
        if any(not reason.startswith(ALLOWED_FOR_WORKING_REPLIES) for reason in reasons):
            others.append((row["task"], row["stage"], sorted(reasons)))
    # A helper before the kernels, an import in the middle, a torch path for the CPU.
    assert len(others) <= 0.03 * working, others


@pytest.mark.slow
def test_every_parent_unchanged_passes_its_own_stage(cases_dir: Path) -> None:
    for row in rows(cases_dir):
        request = parse_request(row["request"])
        try:
            view = read_program(request.program)
        except InputError:
            continue
        report = judge(RuleContext(stage=request.stage, parent=view, child=view))
        assert not report.violations, (row["task"], row["stage"], report.violations)
