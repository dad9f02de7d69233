"""Commands end in the time that they are given, with what they have by then."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.request_text import parse_request
from warpwright.interpreter.interpret import interpret
from warpwright.pipeline.answer_request import answer_request
from warpwright.program.view import read_program
from warpwright.proposers.configs.plan import propose
from warpwright.sandbox.deadline import Deadline
from warpwright.search import moves_predicted
from warpwright.search.draft import draft
from warpwright.search.moves import UNVERIFIED, Moved, as_moved, move_candidates, study_moved
from warpwright.search.moves_predicted import OUT_OF_TIME, predicted_by_moves
from warpwright.store.cache import PassingCache
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Decision
from warpwright.types.candidate import Candidate, Move, moves_label
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.study import Study
from warpwright.types.verdict import NOT_IN_TIME, EditLimits, Status
from warpwright.verifier import accuracy_case
from warpwright.verifier.accuracy import verify_accuracy
from warpwright.verifier.verify import VerifyContext, verify

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
    judged = next(result for result in answer.gate.results if result.check == "accuracy")
    assert judged.status is Status.NOT_VERIFIED
    assert not judged.in_time
    assert any(NOT_IN_TIME in note and "--time-limit" in note for note in judged.notes)
    if answer.decision is Decision.KEPT:
        assert answer.program == PROGRAM
    else:  # nothing new: binaries that the program has already
        plans = [choice for plan in answer.plans for choice in plan.choices if choice.kept]
        assert plans
        assert not any(choice.proposed for choice in plans)


@pytest.mark.slow
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
    run = verify_accuracy(study, study.view, kernels, RunContext(deadline=Deadline(RUNNING_S)))
    by_config = {case.config: case for case in run.cases if case.distribution == "problem"}
    passed = [name for name, case in by_config.items() if case.status is Status.PASS]
    open_ = [name for name, case in by_config.items() if NOT_IN_TIME in (case.reason or "")]
    assert any("LANES=1" in name for name in passed), by_config
    assert any("LANES=4" in name for name in open_), by_config
    assert run.result.status is Status.NOT_VERIFIED
    assert not run.result.in_time


@pytest.mark.slow
@pytest.mark.triton
def test_a_failure_before_the_end_is_a_failure() -> None:
    """The wrong config is found although the run of the slow one is cut."""
    child = with_steps("STEPS - (LANES // 2) + (LANES // 4) * 1000000")
    parent = studied(with_steps("STEPS").replace('"LANES": 2', '"LANES": 1').replace(": 4", ": 1"))
    kernels = {kernel.kernel: kernel for kernel in studied(child).kernels}
    run_context = RunContext(deadline=Deadline(RUNNING_S))
    run = verify_accuracy(parent, read_program(child), kernels, run_context)
    assert run.result.status is Status.FAIL
    assert {config.meta_dict["LANES"] for config in run.failing["scan_rows"]} == {2}
    assert any(NOT_IN_TIME in note for note in run.result.notes)


def with_steps(steps: str) -> str:
    source = PROGRAM.replace("STEPS=1 << 18", "STEPS=width")
    return source.replace("range(0, STEPS)", f"range(0, {steps})")


def studied(source: str) -> Study:
    gpu: ResolvedGpu = api.target_gpu("RTX 4090")
    return study_program(Subject(source), gpu, RunContext(), problem=read_problem(PROBLEM))


@pytest.mark.triton
def test_moves_leave_time_to_the_configs() -> None:
    """With a fifth of the time left no program by moves is counted; each says so."""
    study = studied(with_steps("STEPS"))
    late = RunContext(deadline=Deadline(600.0).part(0.2))
    found = predicted_by_moves(study, late, EditLimits())
    assert found.counted
    assert {one.reason for one in found.counted} == {OUT_OF_TIME}
    assert found.accepted == ()


@pytest.mark.triton
def test_a_program_by_moves_that_was_not_verified_in_time_is_not_taken() -> None:
    study = studied(with_steps("STEPS"))
    source = replace(parse_request(request()), program=study.view.source)
    moved = as_moved(
        move_candidates(study, EditLimits())[0], source, study, run_context(), EditLimits()
    )
    assert isinstance(moved, Moved)
    plans, _ = propose(source, moved.study, run_context())
    over = replace(run_context(), deadline=Deadline(0.1))
    assert draft(source, study, over, plans, moved=moved).keep == UNVERIFIED


@pytest.mark.triton
def test_programs_by_moves_are_studied_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves_predicted, "usable_workers", lambda: 2)
    both = threading.Barrier(2, timeout=60.0)

    def waiting(*arguments: Any) -> Study | str:
        both.wait()
        return study_moved(*arguments)

    monkeypatch.setattr(moves_predicted, "study_moved", waiting)
    study = studied(with_steps("STEPS"))
    pair = move_candidates(study, EditLimits())[:1] * 2
    monkeypatch.setattr(moves_predicted, "move_candidates", lambda *_: pair)
    monkeypatch.setattr(moves_predicted, "refined", lambda *_: ())
    one, other = predicted_by_moves(study, run_context(), EditLimits()).counted
    assert one == other
    assert one.after is not None


@pytest.mark.triton
def test_programs_that_run_the_same_are_one_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first is refused, the verifier is not asked about the same code again."""
    study = studied(with_steps("STEPS"))
    first = move_candidates(study, EditLimits())[0]
    text = first.program.replace(
        "    total = tl.zeros", "    # the sum so far\n    total = tl.zeros"
    )
    same = replace(first, program=text, moves=(*first.moves, Move("comment", "scan_rows")))
    assert same.program != first.program
    monkeypatch.setattr(moves_predicted, "move_candidates", lambda *_: (first, same))
    monkeypatch.setattr(moves_predicted, "refined", lambda *_: ())
    found = predicted_by_moves(study, run_context(), EditLimits())
    assert found.accepted == (0,)
    assert found.counted[1].reason == f"compiles to the same code as {moves_label(first.moves)}"
    assert found.counted[1].after == found.counted[0].after


@pytest.mark.slow
@pytest.mark.triton
def test_a_program_by_moves_is_interpreted_once_with_its_configs() -> None:
    """The candidate is not verified before the draft that is made of it."""
    told: list[str] = []
    answer = answer_request(
        replace(parse_request(request()), program=with_steps("STEPS")),
        replace(run_context(), listener=lambda name, text, **_: told.append(f"{name}: {text}")),
    )
    assert answer.moves
    assert answer.gate.status is Status.PASS
    assert len([text for text in told if text.startswith("accuracy: choosing small")]) == 1
    assert len([text for text in told if text.startswith("full size: ")]) == 1


@pytest.mark.triton
def test_with_little_time_left_no_new_configs_are_compiled() -> None:
    told: list[str] = []
    late = replace(run_context(), listener=lambda name, text, **_: told.append(text))
    late = replace(late, deadline=Deadline(600.0).part(0.2))
    source = replace(parse_request(request()), program=with_steps("STEPS"))
    answer = answer_request(source, late)
    assert "scan_rows: 0 new configs within the rules to look at" in told
    assert not any(choice.proposed for plan in answer.plans for choice in plan.choices)
    assert answer.gate.status is Status.PASS


@pytest.mark.triton
def test_a_program_beside_itself_runs_once_and_on_no_further_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its code is the parent's on any sizes; its runs are the parent's runs."""
    runs: list[str] = []

    def counting(source: str, reference: Any, asked: Sequence[Any], **how: Any) -> Any:
        runs.extend(f"{run.case} {sorted(run.pins.items())}" for run in asked)
        return interpret(source, reference, asked, **how)

    monkeypatch.setattr(accuracy_case, "interpret", counting)
    study = studied(with_steps("STEPS"))
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    run = verify_accuracy(study, study.view, kernels, run_context())
    assert run.result.status is Status.PASS
    assert all(case.bit_equal_to_parent for case in run.cases if case.distribution == "problem")
    assert len(runs) == len(set(runs)) == len(run.cases)


@pytest.mark.triton
def test_configs_with_tiles_that_the_parent_has_not_run_on_further_sizes_too() -> None:
    study = studied(with_steps("STEPS"))
    child = read_program(with_steps("STEPS").replace('"LANES": 4', '"LANES": 8'))
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    told: list[str] = []
    listening = replace(run_context(), listener=lambda name, text, **_: told.append(text))
    verify_accuracy(study, child, kernels, listening)
    assert any(text.startswith("choosing further sizes") for text in told)


@pytest.mark.triton
def test_no_text_is_verified_twice_but_where_the_time_was_over() -> None:
    study = studied(with_steps("STEPS"))
    source = replace(parse_request(request()), program=study.view.source)
    told: list[str] = []
    working = replace(
        run_context(), listener=lambda name, text, **_: told.append(f"{name}: {text}")
    )
    asked = Candidate(
        study.view.source, study.view.source.replace("total += x", "total = total + x")
    )
    over = replace(working, deadline=Deadline(0.1))
    late = verify(asked, source, VerifyContext(study, over, study.problem))
    assert not late.in_time
    read = verify(asked, source, VerifyContext(study, working, study.problem, accuracy=False))
    whole = verify(asked, source, VerifyContext(study, working, study.problem))
    assert read.in_time and whole.in_time
    assert [result.check for result in whole.gate.results].count("accuracy") == 1
    assert verify(asked, source, VerifyContext(study, working, study.problem)) is whole
    assert told.count("trace: tracing the candidate's launches") == 2  # one of them in vain
    strict = VerifyContext(study, working, study.problem, limits=EditLimits(strict=True))
    assert verify(asked, source, strict).refused


def run_context() -> RunContext:
    return RunContext(PassingCache())
