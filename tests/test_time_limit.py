"""Commands end in the time that they are given, with what they have by then."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from warpwright import api
from warpwright.accuracy import verify_accuracy
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.request import parse_request
from warpwright.moving import UNVERIFIED, as_moved, move_candidates
from warpwright.predicting import OUT_OF_TIME, predicted_by_moves
from warpwright.sandbox.deadline import Deadline
from warpwright.source.view import read_program
from warpwright.study import Subject, Workbench, study_program
from warpwright.types.answer import Decision
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.study import Study
from warpwright.types.verdict import NOT_IN_TIME, EditLimits, Status

# A scan along each row, one element after the other, with a step that no smaller input shortens.
PROGRAM = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"LANES": 1}, num_warps=4, num_stages=2),
        triton.Config({"LANES": 1}, num_warps=4, num_stages=2),
        triton.Config({"LANES": 2}, num_warps=4, num_stages=2),
        triton.Config({"LANES": 4}, num_warps=4, num_stages=2),
    ],
    key=["width"],
)
@triton.jit
def scan_rows(x_ptr, y_ptr, rows, width, STEPS: tl.constexpr, LANES: tl.constexpr):
    row = tl.program_id(0) * LANES + tl.arange(0, LANES)
    total = tl.zeros((LANES,), dtype=tl.float32)
    for step in range(0, STEPS):
        at = step % width
        inside = (row < rows) & (step < width)
        x = tl.load(x_ptr + row * width + at, mask=inside, other=0.0)
        total += x
        tl.store(y_ptr + row * width + at, total, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        rows, width = x.shape
        grid = lambda meta: (triton.cdiv(rows, meta["LANES"]),)
        scan_rows[grid](x, y, rows, width, STEPS=1 << 18)
        return y
"""
PROBLEM = """
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cumsum(x, dim=1)


def get_inputs():
    return [torch.rand(4096, 2048)]


def get_init_inputs():
    return []
"""
LIMIT_S = 12.0
RUNNING_S = 15.0


def request() -> str:
    return api.request(PROGRAM, gpu="RTX 4090", problem=PROBLEM)


@pytest.mark.triton
def test_an_answer_ends_in_time_and_keeps_what_could_not_be_verified() -> None:
    began = time.monotonic()
    answer = api.answer(request(), time_limit_s=LIMIT_S)
    assert time.monotonic() - began < LIMIT_S + 5
    assert answer.gate is not None
    accuracy = next(result for result in answer.gate.results if result.check == "accuracy")
    assert accuracy.status is Status.NOT_VERIFIED
    assert not accuracy.in_time
    assert any(NOT_IN_TIME in note and "--time-limit" in note for note in accuracy.notes)
    if answer.decision is Decision.KEPT:
        assert answer.program == PROGRAM
    else:  # nothing new: binaries that the program has already
        plans = [choice for plan in answer.plans for choice in plan.choices if choice.kept]
        assert plans
        assert not any(choice.proposed for choice in plans)


@pytest.mark.triton
def test_a_check_ends_in_time_and_says_what_is_open() -> None:
    reply = PROGRAM.replace("num_warps=4, num_stages=2", "num_warps=4, num_stages=3", 1)
    began = time.monotonic()
    gate = api.check(request(), reply, time_limit_s=LIMIT_S)
    assert time.monotonic() - began < LIMIT_S + 5
    assert gate.status is not Status.PASS
    assert any(NOT_IN_TIME in note for result in gate.results for note in result.notes)


@pytest.mark.slow
@pytest.mark.triton
def test_runs_that_ended_in_time_count() -> None:
    """One quick config and one that no time would do: the first passes, the second is open."""
    study = studied(with_steps("STEPS + (LANES // 4) * 1000000"))
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    run = verify_accuracy(study, study.view, kernels, Workbench(deadline=Deadline(RUNNING_S)))
    by_config = {case.config: case for case in run.cases if case.distribution == "problem"}
    passed = [name for name, case in by_config.items() if case.status is Status.PASS]
    open_ = [name for name, case in by_config.items() if NOT_IN_TIME in (case.reason or "")]
    assert any("LANES=1" in name for name in passed), by_config
    assert any("LANES=4" in name for name in open_), by_config
    assert run.result.status is Status.NOT_VERIFIED
    assert not run.result.in_time


@pytest.mark.triton
def test_a_failure_before_the_end_is_a_failure() -> None:
    """The wrong config is found although the run of the slow one is cut."""
    child = with_steps("STEPS - (LANES // 2) + (LANES // 4) * 1000000")
    parent = studied(with_steps("STEPS").replace('"LANES": 2', '"LANES": 1').replace(": 4", ": 1"))
    kernels = {kernel.kernel: kernel for kernel in studied(child).kernels}
    bench = Workbench(deadline=Deadline(RUNNING_S))
    run = verify_accuracy(parent, read_program(child), kernels, bench)
    assert run.result.status is Status.FAIL
    assert {config.meta_dict["LANES"] for config in run.failing["scan_rows"]} == {2}
    assert any(NOT_IN_TIME in note for note in run.result.notes)


def with_steps(steps: str) -> str:
    source = PROGRAM.replace("STEPS=1 << 18", "STEPS=width")
    return source.replace("range(0, STEPS)", f"range(0, {steps})")


def studied(source: str) -> Study:
    gpu: ResolvedGpu = api.target_gpu("RTX 4090")
    return study_program(Subject(source), gpu, Workbench(), problem=read_problem(PROBLEM))


@pytest.mark.triton
def test_moves_leave_time_to_the_configs() -> None:
    """With a fifth of the time left no program by moves is counted; each says so."""
    study = studied(with_steps("STEPS"))
    late = Workbench(deadline=Deadline(600.0).part(0.2))
    moved, counted = predicted_by_moves(parse_request(request()), study, late, EditLimits())
    assert moved is None
    assert counted
    assert {one.reason for one in counted} == {OUT_OF_TIME}
    assert not any(one.accepted for one in counted)


@pytest.mark.triton
def test_a_program_by_moves_that_was_not_verified_in_time_is_not_taken() -> None:
    study = studied(with_steps("STEPS"))
    candidate = move_candidates(study, EditLimits())[0]
    source = replace(parse_request(request()), program=study.view.source)
    over = Workbench(deadline=Deadline(0.1))
    found = as_moved(candidate, source, study, over, EditLimits(), accuracy=True)
    assert found == UNVERIFIED
