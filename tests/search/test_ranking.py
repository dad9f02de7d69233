"""Schedules ranked by time, and a program beside eager PyTorch, in Triton's interpreter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpwright.bench.statistics.budget import QUICK
from warpwright.gpus.sheets import find_gpu
from warpwright.pipeline.optimize_problem import optimize_problem, recognized, screen
from warpwright.proposers.schedules import candidates
from warpwright.report.optimization_record import optimization_record
from warpwright.report.optimization_text import beside_text, explain_optimization
from warpwright.search.ranking import beside_eager, measured_ranker
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.bench import BenchResult, BenchRow
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.optimization import Screened
from warpwright.types.shapes import Problem

pytestmark = pytest.mark.triton

GPU = ResolvedGpu(find_gpu("H100"))
PROBLEM = Problem(
    source="""
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 1)

    def forward(self, x):
        return torch.relu(self.conv(x))

def get_inputs():
    return [torch.rand(2, 16, 12, 12)]

def get_init_inputs():
    return []
"""
)

SPOILING = """

right = ModelNew.forward
ModelNew.forward = lambda self, *inputs: 1.01 * right(self, *inputs)
"""


@pytest.mark.slow
def test_candidates_are_ranked_by_time_and_the_program_stands_beside_eager(tmp_path: Path) -> None:
    setup = TrialSetup(tmp_path, QUICK, "cpu")
    result = optimize_problem(
        PROBLEM,
        GPU,
        RunContext(ResultCache()),
        rank=measured_ranker(setup, GPU.sheet.name),
        compare=lambda program, problem: beside_eager(program, problem, device="cpu"),
        tries=2,
        configs=1,
    )
    assert result.program is not None, result.reason
    assert result.ranking is not None
    assert result.ranking.origin is Origin.MEASURED
    assert list(result.ranking.times_us) == sorted(result.ranking.times_us)
    assert "interpreter" in result.ranking.how
    assert result.beside is not None
    assert [row.failed for row in result.beside.rows] == [None, None]
    told = explain_optimization(result)
    assert "Beside eager PyTorch" in told
    assert "say nothing of any GPU" in told
    record = optimization_record(result)
    assert record.beside is not None
    assert record.ranking_origin == "measured"


@pytest.fixture(scope="module")
def usable() -> list[Screened]:
    task = recognized(PROBLEM, GPU.sheet, RunContext(ResultCache()))
    found = screen(candidates(task, GPU.sheet)[:3], PROBLEM, GPU, RunContext(ResultCache()))
    made = [entry for entry in found if entry.rejected is None]
    assert len(made) == 3
    return made


def spoiled(entry: Screened, predicted_us: float) -> Screened:
    program = f"{entry.candidate.program}{SPOILING}"
    return predicted(
        replace(entry, candidate=replace(entry.candidate, program=program)), predicted_us
    )


def predicted(entry: Screened, predicted_us: float) -> Screened:
    return replace(entry, candidate=replace(entry.candidate, predicted_us=predicted_us))


def test_a_wrong_candidate_and_a_hopeless_one_get_no_place(
    usable: list[Screened], tmp_path: Path
) -> None:
    right, hopeless = predicted(usable[0], 3.0), predicted(usable[2], 9.0)
    entries = [right, spoiled(usable[1], 2.9), hopeless]
    ranking = measured_ranker(TrialSetup(tmp_path, QUICK, "cpu"), "H100")(PROBLEM, entries)
    assert ranking.order == (right,)
    assert "1 of 2 failed there" in ranking.how
    assert "wrong" in ranking.how


@pytest.mark.slow
def test_where_all_that_promised_much_are_wrong_the_others_are_measured(
    usable: list[Screened], tmp_path: Path
) -> None:
    right = predicted(usable[0], 30.0)
    entries = [spoiled(usable[1], 1.0), right]
    ranking = measured_ranker(TrialSetup(tmp_path, QUICK, "cpu"), "H100")(PROBLEM, entries)
    assert ranking.order == (right,)


@pytest.mark.parametrize(
    ("own_us", "best_us", "words"),
    [
        (100.0, 150.0, "Faster than cuDNN here"),
        (150.0, 100.0, "cuDNN stays ahead here"),
    ],
)
def test_it_is_said_who_is_ahead(own_us: float, best_us: float, words: str) -> None:
    rows = (
        BenchRow("the program", own_us),
        BenchRow("eager, NCHW", 400.0),
        BenchRow("eager, channels_last", best_us),
    )
    told = beside_text(BenchResult(rows, (), 0.95, 2, 6, 1))
    assert words in told
    assert "channels_last" in told
