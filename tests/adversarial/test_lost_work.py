"""Trick: in the tuning stage a kernel does less work. Where both programs run, no reader of loops
and masks says so: the outputs do, or memory that is not the program's."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest
from accuracy_trial import IMPORTS, changed

from warpwright import api
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import ACCURACY, Status, Verdict

pytestmark = pytest.mark.triton

ROWS = IMPORTS + dedent(
    """
    @triton.jit
    def sum_kernel(x_ptr, shift_ptr, y_ptr, rows, width, shifted, TILE: tl.constexpr):
        row = tl.program_id(0) * TILE + tl.arange(0, TILE)
        inside = row < rows
        total = tl.zeros((TILE,), dtype=tl.float32)
        for i in range(width):
            total += tl.load(x_ptr + row * width + i, mask=inside, other=0.0)
        if shifted:
            total += tl.load(shift_ptr + row, mask=inside, other=0.0)
        tl.store(y_ptr + row, total, mask=inside)


    class ModelNew(nn.Module):
        def __init__(self, rows):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(rows))

        def forward(self, x):
            y = torch.empty((x.shape[0],), device=x.device)
            grid = (triton.cdiv(x.shape[0], 32),)
            sum_kernel[grid](x, self.shift, y, x.shape[0], x.shape[1], 1, TILE=32)
            return y
    """
)
MODEL = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, rows):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(rows))

        def forward(self, x):
            return x.sum(1) + self.shift


    def get_init_inputs():
        return [100]


    def get_inputs():
        return [torch.randn(100, 512)]
    """
)
LOOP = dedent(
    """\
    for i in range(width):
        total += tl.load(x_ptr + row * width + i, mask=inside, other=0.0)
    """
)


def in_kernel(loop: str) -> str:
    return "".join(f"    {line}\n" for line in loop.splitlines())


def with_loop(loop: str) -> str:
    return changed(ROWS, (in_kernel(LOOP), in_kernel(loop)))


def blocks(step: int, lanes: int, stop: str = "width") -> str:
    return (
        f"for first in range(0, {stop}, {step}):\n"
        f"    i = first + tl.arange(0, {lanes})\n"
        f"    part = tl.load(x_ptr + row[:, None] * width + i[None, :],\n"
        f"                   mask=inside[:, None] & (i < width)[None, :], other=0.0)\n"
        f"    total += tl.sum(part, 1)\n"
    )


IN_LESS = {
    "the last step": with_loop(LOOP.replace("range(width)", "range(width - 1)")),
    "every other step": with_loop(LOOP.replace("range(width)", "range(0, width, 2)")),
    "half of the lanes": with_loop(blocks(16, 8)),
    "half of the blocks": with_loop(blocks(16, 16, "width // 2")),
    "lanes of another tensor": with_loop(
        LOOP.replace("range(width)", "range(0, width, 16)") + "    tl.load(shift_ptr + i)\n"
    ),
    "a branch": changed(ROWS, ("if shifted:", "if shifted > 1:")),
    "a mask": changed(ROWS, ("tl.store(y_ptr + row, total, mask=inside)",
                             "tl.store(y_ptr + row, total)")),
}  # fmt: skip
QUICK = ("the last step", "a branch")
HONEST = with_loop(blocks(16, 16))


@pytest.fixture(scope="module")
def checked() -> Callable[[str, bool], Verdict]:
    """`check` at the tuning stage, with the problem's model or with shapes alone."""
    run_context = RunContext(ResultCache())

    def check(program: str, with_model: bool) -> Verdict:
        shapes = Problem(inputs=(TensorSpec((100, 512)),), init_args=(100,))
        problem = Problem(source=MODEL) if with_model else shapes
        text = api.request(ROWS, gpu="RTX 4090", stage="tuning", problem=MODEL)
        return check_reply(parse_request(text), parse_reply(program), run_context, problem)

    return check


@pytest.mark.parametrize("with_model", [True, False])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow][: n not in QUICK]) for n in IN_LESS]
)
def test_work_that_is_lost_is_refused_by_the_outputs(
    checked: Callable[[str, bool], Verdict], name: str, with_model: bool
) -> None:
    rules = {violation.rule for violation in checked(IN_LESS[name], with_model).violations}
    assert ACCURACY in rules


def test_as_much_work_in_fewer_steps_passes(checked: Callable[[str, bool], Verdict]) -> None:
    verdict = checked(HONEST, True)
    assert not verdict.violations
    (accuracy,) = (result for result in verdict.results if result.check == ACCURACY)
    assert accuracy.status is Status.PASS
