"""The two seed requests' programs in the interpreter: TF32 errors as a GPU has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from warpwright.interpreter.interpret import InterpretRun, interpret
from warpwright.interpreter.reference.reference import make_reference
from warpwright.types.config import Config
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import Status
from warpwright.verifier.outputs.interpreted import conclude, judge_outputs

pytestmark = [pytest.mark.triton, pytest.mark.cases]

CONVOLUTION = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, *_):
        super().__init__()
        self.{name} = nn.Conv2d({arguments})

    def forward(self, x):
        return self.{name}(x)


def get_inputs():
    return [torch.rand({shape})]


def get_init_inputs():
    return {init}
"""
STRIDED = CONVOLUTION.format(
    name="conv1", arguments="3, 96, 11, stride=4, padding=2", shape="256, 3, 224, 224", init=[1000]
)
DILATED = CONVOLUTION.format(
    name="conv2d",
    arguments="32, 64, (5, 9), padding=(2, 4), dilation=(2, 3), bias=False",
    shape="8, 32, 512, 512",
    init=[32, 64, (5, 9), 1, (2, 4), (2, 3)],
)


def seed_program(cases_dir: Path, kernel: str) -> str:
    for path in sorted((cases_dir / "seeds").glob("*.txt")):
        code = re.search(r"\[CURRENT CODE\]\n```python\n(.*?)```", path.read_text(), re.S)
        if code is not None and f"def {kernel}(" in code.group(1):
            return code.group(1)
    pytest.skip(f"no seed with {kernel}")


@pytest.mark.parametrize(
    ("kernel", "problem", "shape", "tiles"),
    [
        ("conv2d_fwd_kernel", STRIDED, (2, 3, 47, 47), {"BLOCK_M": 32, "BLOCK_N": 64}),
        ("conv2d_kernel", DILATED, (2, 32, 20, 24), {"BLOCK_OC": 32, "BLOCK_HW": 256}),
    ],
)
def test_the_active_config_truncates_to_tf32_and_passes(
    kernel, problem, shape, tiles, cases_dir, tmp_path
):
    made = make_reference(Problem(source=problem), [TensorSpec(shape)], tmp_path, seed=5)
    stages, warps = (1, 4) if "BLOCK_M" in tiles else (2, 8)
    config = Config.of({**tiles, "BLOCK_K": 32}, warps, stages)
    runs = [InterpretRun(case.name, {kernel: config}, str(config)) for case in made.cases]
    results = interpret(seed_program(cases_dir, kernel), made, runs)
    cases = judge_outputs(results, results, made.cases, required_kernels=[kernel])
    result = conclude(cases)
    assert result.status is Status.PASS, result
    assert any("breaks the precision policy" in note for note in result.notes)
    normal = next(case for case in cases if case.distribution == "normal")
    assert normal.error.relative_l2 == pytest.approx(7.5e-4, rel=0.05)
    assert normal.policy_error.relative_l2 == pytest.approx(2.85e-4, rel=0.05)
