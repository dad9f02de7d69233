"""Every stage answers: moves where counts speak for them, and a plain reason where none does."""

from __future__ import annotations

from pathlib import Path

import halves
import pytest

from warpwright import api
from warpwright.program.view import read_program
from warpwright.report.explanation import explain
from warpwright.types.answer import Decision
from warpwright.types.verdict import EditLimits, Status

pytestmark = pytest.mark.triton
STAGES = ("grid", "tiling", "memory")
EXAMPLE = Path(__file__).parent.parent / "examples" / "01-conv2d-stride4"


def document(stage: str, program: str = halves.PROGRAM, problem: str = halves.PROBLEM) -> str:
    return api.request(program, gpu="RTX 4090", stage=stage, problem=problem)


@pytest.mark.parametrize("stage", STAGES)
def test_a_program_becomes_faster_by_moves_at_every_stage(stage: str) -> None:
    becomes_faster(stage, halves.PROGRAM, halves.PROBLEM)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_convolution_becomes_faster_by_moves_at_every_stage(stage: str) -> None:
    program, problem = (EXAMPLE / name for name in ("program.py", "problem.py"))
    becomes_faster(stage, program.read_text(), problem.read_text())


def becomes_faster(stage: str, program: str, problem: str) -> None:
    request = document(stage, program, problem)
    answer = api.answer(request, time_limit_s=900)
    assert answer.decision is Decision.CHANGED, answer.reason
    assert answer.moves and answer.reason.startswith("moves: ")
    (before,), (after,) = (read_program(p).launched_kernels for p in (program, answer.program))
    assert before.autotune is not None and after.autotune is not None
    assert before.autotune.configs == after.autotune.configs
    assert f"the {stage} stage is not about configs" in explain(answer)
    assert api.check(request, answer.program).status is not Status.FAIL


def test_where_no_move_applies_the_parent_stays_and_the_reason_says_so() -> None:
    answer = api.answer(document("memory", COPY, COPY_PROBLEM))
    assert answer.decision is Decision.KEPT
    assert answer.program == COPY
    assert "no move of ours applies to it" in answer.reason


def test_the_most_promising_program_says_why_it_is_not_taken() -> None:
    masked = COPY.replace("(x_ptr, y_ptr, BLOCK", "(x_ptr, y_ptr, count, BLOCK")
    masked = masked.replace("tl.load(x_ptr + at))", "tl.load(x_ptr + at) + count)")
    masked = masked.replace("(x, y, BLOCK=256)", "(x, y, 0, BLOCK=256)")
    answer = api.answer(document("memory", masked, COPY_PROBLEM))
    assert answer.decision is Decision.KEPT
    assert answer.reason.startswith(
        "no program by moves is taken (1 tried); the most promising, specialise parameters=count "
        "in copied: neither count is a tenth lower"
    )


def test_a_program_that_cannot_run_says_so_at_every_stage() -> None:
    broken = COPY.replace("tl.store(", "tl.stores(")
    answer = api.answer(document("memory", broken, COPY_PROBLEM))
    assert answer.decision is Decision.KEPT
    assert answer.reason.startswith("the program itself cannot run on RTX 4090")


def test_strict_makes_no_moves_and_says_so() -> None:
    answer = api.answer(document("grid"), limits=EditLimits(strict=True))
    assert answer.decision is Decision.KEPT
    assert answer.reason.startswith("--strict makes no moves")


COPY = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def copied(x_ptr, y_ptr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, tl.load(x_ptr + at))


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        copied[(x.numel() // 256,)](x, y, BLOCK=256)
        return y
"""
COPY_PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x.clone()


def get_inputs():
    return [torch.rand(4, 1024)]


def get_init_inputs():
    return []
"""
