"""Without the problem's model, a program's own parameters get other values: zeros hide a bias that
is left out, ones a scale."""

from __future__ import annotations

from textwrap import dedent

import pytest
from accuracy_trial import accuracy_of, changed

from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

SHIFTED = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def shifted_kernel(x_ptr, shift_ptr, y_ptr, WIDTH, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = columns < WIDTH
        x = tl.load(x_ptr + row * WIDTH + columns, mask=inside, other=0.0)
        shift = tl.load(shift_ptr + columns, mask=inside, other=0.0)
        tl.store(y_ptr + row * WIDTH + columns, x * 2.0 + shift, mask=inside)


    class ModelNew(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(width))

        def forward(self, x):
            y = torch.empty_like(x)
            rows, width = x.shape
            grid = (rows, triton.cdiv(width, 64))
            shifted_kernel[grid](x, self.shift, y, width, BLOCK=64)
            return y
    """
)
WITHOUT_MODEL = Problem(inputs=(TensorSpec((96, 300)),), init_args=(300,))
INPUTS_ALONE = Problem(
    source="import torch\ndef get_inputs():\n    return [torch.rand(96, 300)]\n"
    "def get_init_inputs():\n    return [300]\n",
    has_model=False,
)
either = pytest.mark.parametrize("problem", [WITHOUT_MODEL, INPUTS_ALONE], ids=["shapes", "inputs"])


@either
def test_a_bias_of_zeros_that_is_left_out_is_refused(problem: Problem) -> None:
    without = changed(SHIFTED, ("x * 2.0 + shift", "x * 2.0"))
    run = accuracy_of(SHIFTED, without, problem)
    assert run.result.status is Status.FAIL
    (failed,) = {case.distribution for case in run.cases if case.status is Status.FAIL}
    assert failed == "perturbed state"


def test_its_honest_twin_is_not() -> None:
    twin = changed(SHIFTED, ("x * 2.0 + shift", "shift + x + x"))
    run = accuracy_of(SHIFTED, twin, WITHOUT_MODEL)
    assert run.result.status is Status.NOT_VERIFIED
    assert "perturbed state" in {case.distribution for case in run.cases}


def test_equal_bits_pass_where_the_problem_has_inputs_of_its_own() -> None:
    twin = SHIFTED.replace("x * 2.0 + shift", "shift + x * 2.0")
    assert accuracy_of(SHIFTED, twin, INPUTS_ALONE).result.status is Status.PASS


def test_parameters_that_only_a_guess_matches_refuse_nothing() -> None:
    renamed = SHIFTED.replace("self.shift", "self.other")
    (case,) = (
        case
        for case in accuracy_of(SHIFTED, renamed, WITHOUT_MODEL).cases
        if case.distribution == "perturbed state"
    )
    assert not case.gating
    assert "matched by shape and order" in (case.reason or "")
