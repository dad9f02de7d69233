"""A reply that drops 64-bit offsets which its tensors need is refused without a GPU."""

from __future__ import annotations

import pytest
from texts import replace_once

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.data.stages import find_stage
from warpwright.formats.reply import parse_reply
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.check_reply import check_reply
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.request import Request
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import Violation

pytestmark = pytest.mark.triton

WIDE = "row = tl.program_id(0).to(tl.int64)"
SHORT = "row = tl.program_id(0)"
PROGRAM = f"""import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def halve_rows(x_ptr, y_ptr, width, BLOCK: tl.constexpr):
    {WIDE}
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < width
        value = tl.load(x_ptr + row * width + column, mask=inside)
        tl.store(y_ptr + row * width + column, 0.5 * value, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, width = x.shape
        y = torch.empty_like(x)
        halve_rows[(rows,)](x, y, width, BLOCK=1024)
        return y
"""
REPLY = replace_once(PROGRAM, "0.5 * value", "value * 0.5")


def violations(parent: str, reply: str, shape: tuple[int, int]) -> list[Violation]:
    """What `offsets.wide_enough` says of a reply."""
    request = Request(gpu=stated_gpu(find_gpu("H100")), stage=find_stage("memory"), program=parent)
    problem = Problem(inputs=(TensorSpec(shape),), origin="the test")
    gate = check_reply(
        request, parse_reply(reply), RunContext(ResultCache()), problem, accuracy=False
    )
    return [v for v in gate.violations if v.rule == "offsets.wide_enough"]


def test_a_reply_that_drops_the_64_bits_is_refused_where_the_tensor_needs_them() -> None:
    short = REPLY.replace(WIDE, SHORT)
    (told,) = violations(PROGRAM, short, (70_000, 50_000))
    assert (
        told.line
        == short.splitlines().index("def halve_rows(x_ptr, y_ptr, width, BLOCK: tl.constexpr):") + 1
    )
    assert "block (69999,)" in told.found and "of x_ptr" in told.found
    assert violations(PROGRAM, REPLY, (70_000, 50_000)) == []
    assert violations(PROGRAM, short, (40_000, 50_000)) == []


def test_a_study_tells_of_a_program_that_wraps() -> None:
    problem = Problem(inputs=(TensorSpec((70_000, 50_000)),), origin="the test")
    gpu = api.target_gpu("H100")
    studies = [
        study_program(Subject(source), gpu, RunContext(ResultCache()), problem=problem)
        for source in (PROGRAM, PROGRAM.replace(WIDE, SHORT))
    ]
    right, wrong = (
        [f.text for kernel in study.kernels for f in kernel.findings if f.id == "wrapped-offset"]
        for study in studies
    )
    assert right == []
    assert "block (69999,)" in wrong[0]


def test_what_the_parent_does_too_is_its_own_affair() -> None:
    short = PROGRAM.replace(WIDE, SHORT)
    assert violations(short, REPLY.replace(WIDE, SHORT), (70_000, 50_000)) == []
