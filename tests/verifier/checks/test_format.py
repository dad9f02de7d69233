"""The output format: order, one model, no testing code; what the parent has is not blamed."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.program.view import read_program
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.checks.format import check_format

HELPER = "def cdiv(a, b):\n    return -(-a // b)\n\n\n"


def checked(parent: str, child: str) -> CheckResult:
    return check_format(read_program(parent), read_program(child))


def test_a_program_in_order_passes(lab: ModuleType) -> None:
    assert checked(lab.MATMUL, lab.MATMUL).status is Status.PASS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@triton.autotune", HELPER + "@triton.autotune"),
        ("class ModelNew", "import math\n\n\nclass ModelNew"),
    ],
)
def test_sections_out_of_order_are_told_and_not_refused(
    lab: ModuleType, old: str, new: str
) -> None:
    assert checked(lab.MATMUL, lab.MATMUL).notes == ()
    result = checked(lab.MATMUL, lab.replaced(lab.MATMUL, old, new))
    assert result.status is Status.PASS
    assert len(result.notes) == 1
    assert "format.order" in result.notes[0]
    assert "line " in result.notes[0]


def test_an_order_that_the_parent_breaks_too_is_told_only(lab: ModuleType) -> None:
    parent = lab.replaced(lab.MATMUL, "@triton.autotune", HELPER + "@triton.autotune")
    result = checked(parent, parent + "\n# changed\n")
    assert result.status is Status.PASS
    assert any("inherited from the parent" in note for note in result.notes)


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("def get_inputs():\n    return []\n", "format.test_code"),
        ("def get_init_inputs():\n    return []\n", "format.test_code"),
        ("def test_model():\n    pass\n", "format.test_code"),
        ("if __name__ == '__main__':\n    print(1)\n", "format.test_code"),
        ("print('ready')\n", "format.module_code"),
        ("warm = ModelNew(1, 2)\n", "format.module_code"),
        ("KEPT = torch.zeros(4)\n", "format.module_code"),
    ],
)
def test_code_that_no_section_holds_is_refused(lab: ModuleType, code: str, rule: str) -> None:
    assert rule in lab.rule_ids(checked(lab.MATMUL, lab.MATMUL + "\n\n" + code).violations)


@pytest.mark.parametrize(
    "constant",
    [
        "BLOCK = 128",
        "SIZES = [16, 32 * 2]",
        "CONFIGS = [triton.Config({}, num_warps=4)]",
        "T = tl.float32",
    ],
)
def test_plain_constants_may_stand_before_the_kernels(lab: ModuleType, constant: str) -> None:
    child = lab.replaced(lab.MATMUL, "@triton.autotune", constant + "\n\n\n@triton.autotune")
    assert checked(lab.MATMUL, child).status is Status.PASS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class ModelNew(nn.Module)", "class Model(nn.Module)"),
        ("class ModelNew(nn.Module)", "class ModelNew(nn.Linear)"),
        ("class ModelNew(nn.Module)", "class ModelNew"),
        ("class ModelNew", "@torch.compile\nclass ModelNew"),
        ("    def forward(self, x)", "    def call(self, x)"),
    ],
)
def test_a_model_of_another_form_is_refused(lab: ModuleType, old: str, new: str) -> None:
    result = checked(lab.MATMUL, lab.replaced(lab.MATMUL, old, new))
    assert lab.rule_ids(result.violations) == {"format.model"}


def test_a_program_without_kernels_is_refused(lab: ModuleType) -> None:
    start, end = lab.SCALE.index("@triton.jit"), lab.SCALE.index("def scale(")
    result = checked(lab.SCALE, lab.SCALE[:start] + lab.SCALE[end:])
    assert "format.kernels" in lab.rule_ids(result.violations)
