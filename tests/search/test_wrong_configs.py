"""Parents of which some configs compute something else than the others, measured.

In the interpreter a parent runs with the first config of its list; on a GPU its tuner takes the
fastest, which is often the one that leaves work out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from warpwright import api
from warpwright.bench.statistics.budget import QUICK
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.answer_request import answer_request
from warpwright.program.view import read_program
from warpwright.report.explanation import explain
from warpwright.report.record import answer_record
from warpwright.report.schema import AnswerRecord
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, Decision
from warpwright.types.shapes import Problem, TensorSpec

pytestmark = pytest.mark.triton

SMALL = replace(
    QUICK,
    screening_burst_us=6_000,
    burst_us=6_000,
    warm_up_us=5_000,
    max_calls=8,
    looks=(2,),
    candidates=1,
    apart=False,
)
LISTED = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
GRID = 'triton.cdiv(x.numel(), meta["BLOCK"])'


@pytest.fixture(scope="module")
def halved(workshop: ModuleType) -> str:
    """The workshop's program with a grid for blocks of 512; its first config has 256."""
    text: str = workshop.PROGRAM
    assert LISTED in text and GRID in text
    ours = '[triton.Config({"BLOCK": 256}), triton.Config({"BLOCK": 512})]'
    return text.replace(LISTED, ours).replace(GRID, "triton.cdiv(x.numel(), 512)")


def answered(program: str, problem: Problem, state: Path) -> Answer:
    text = api.request(program, gpu="RTX 4090")
    setup = TrialSetup(state, SMALL, "cpu")
    return answer_request(parse_request(text), RunContext(ResultCache()), problem, setup=setup)


def test_a_wrong_config_that_the_tuner_takes_goes_whatever_the_time_without_it(
    workshop: ModuleType, halved: str, tmp_path: Path
) -> None:
    answer = answered(halved, Problem(source=workshop.PROBLEM), tmp_path)
    assert answer.decision is Decision.CHANGED, answer.reason
    assert "1 wrong gone" in answer.reason and "its time is no measure" in answer.reason
    (kernel,) = read_program(answer.program).launched_kernels
    assert kernel.autotune is not None
    blocks = {config.meta_dict["BLOCK"] for config in kernel.autotune.configs or ()}
    assert blocks == {512}
    trial = answer.trial
    assert trial is not None and trial.repaired is not None and trial.comparison is not None
    assert "BLOCK=256" in trial.repaired
    assert trial.repaired in explain(answer)
    record = answer_record(answer).model_dump_json()
    assert AnswerRecord.model_validate_json(record).trial is not None
    assert any("computes something else" in conflict for conflict in answer.conflicts)


def test_without_a_reference_configs_that_differ_are_told_and_none_is_taken_for_right(
    workshop: ModuleType, halved: str, tmp_path: Path
) -> None:
    shapes = TensorSpec((workshop.ROWS, workshop.COLUMNS), "float32")
    problem = Problem(inputs=(shapes,), init_args=(workshop.COLUMNS,), origin="shapes alone")
    answer = answered(halved, problem, tmp_path)
    assert answer.decision is Decision.KEPT
    assert "own configs give different outputs" in answer.reason
    assert "BLOCK=512" in answer.reason


@pytest.mark.slow
def test_with_other_parameters_than_the_references_no_config_is_shown_wrong(
    workshop: ModuleType, halved: str, tmp_path: Path
) -> None:
    """All that is known is that its configs differ, as without a reference."""
    named = "self.weight = nn.Parameter(torch.randn(columns))"
    assert named in halved
    other = halved.replace(named, "self.weight = nn.Parameter(torch.rand(1, columns))")
    answer = answered(other, Problem(source=workshop.PROBLEM), tmp_path)
    assert answer.decision is Decision.KEPT, answer.reason
    assert "own configs give different outputs" in answer.reason
