"""Rounds of configs on a real problem, in Triton's interpreter: larger blocks are faster there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.statistics.budget import QUICK
from warpwright.formats.request_text import parse_request
from warpwright.proposers.configs.plan import propose
from warpwright.search.config_rounds import ConfigRounds, KnownPoints
from warpwright.search.configs_measured import MeasuredConfigs, measure_configs
from warpwright.search.open_trial import Table, open_table
from warpwright.search.screening import Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.measured_points import MeasuredPoint, MeasuredPoints
from warpwright.store.run_context import RunContext
from warpwright.types.config import Config
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.trial import ConfigTrial

pytestmark = pytest.mark.triton
FEW, MOST = 3, 7
SMALL = replace(
    QUICK,
    screening_burst_us=6_000,
    burst_us=6_000,
    warm_up_us=5_000,
    max_calls=8,
    looks=(3,),
    wall_s=600.0,
)


@pytest.fixture(scope="module")
def slow(workshop: ModuleType) -> str:
    """The workshop's program with one small block."""
    text: str = workshop.PROGRAM
    two = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
    assert two in text
    return text.replace(two, '[triton.Config({"BLOCK": 64})]')


@pytest.fixture(scope="module")
def request_of_tiles(workshop: ModuleType, slow: str) -> Request:
    text = api.request(slow, gpu="RTX 4090", problem=workshop.PROBLEM, stage="tiling")
    return parse_request(text)


@pytest.fixture(scope="module")
def study(workshop: ModuleType, slow: str) -> Study:
    problem = Problem(source=workshop.PROBLEM)
    return study_program(Subject(slow), api.target_gpu("RTX 4090"), run_context(), problem=problem)


def run_context() -> RunContext:
    return RunContext(ResultCache())


def rounds_of(request: Request, study: Study, points: KnownPoints) -> ConfigRounds:
    proposed = propose(request, study, run_context(), FEW)
    return ConfigRounds(request, study, run_context(), proposed, MOST, points)


def known(study: Study, directory: Path) -> KnownPoints:
    return KnownPoints(MeasuredPoints(directory), None, study)


def measured(request: Request, study: Study, state: Path) -> tuple[ConfigRounds, MeasuredConfigs]:
    with open_table(TrialSetup(state, SMALL, "cpu"), study, {"test": "rounds"}) as table:
        assert isinstance(table, Table), table
        rounds = rounds_of(request, study, KnownPoints(table.points, table.bench.gpu, study))
        with Screening(table, looking=True) as screening:
            screening.start()
            return rounds, measure_configs(screening, study, tuple(rounds.plans), rounds=rounds)


def test_further_configs_are_measured_and_kept_for_the_next_run(
    request_of_tiles: Request, study: Study, tmp_path: Path
) -> None:
    rounds, found = measured(request_of_tiles, study, tmp_path)
    new = [trial for trial in found.trial.configs if trial.proposed]
    assert FEW < len(new) <= MOST
    assert len({trial.config for trial in new}) == len(new)
    assert all(rounds.candidates[trial.kernel].config(trial.config) for trial in new)
    kept = known(study, tmp_path).of(new[0].kernel)
    assert {trial.config for trial in new if trial.time_us is not None} <= set(kept)


def test_what_was_fastest_before_is_tried_first(
    request_of_tiles: Request, study: Study, workshop: ModuleType, tmp_path: Path
) -> None:
    best = Config.of({"BLOCK": 2048}, 8)
    points = known(study, tmp_path)
    trial = ConfigTrial(workshop.KERNEL, best, True, time_us=1.0)
    slower = ConfigTrial(workshop.KERNEL, Config.of({"BLOCK": 32}, 8), True, time_us=9.0)
    points.keep([trial, slower])
    rounds = rounds_of(request_of_tiles, study, points)
    tried = {choice.config for choice in rounds.plans[0].choices}
    (plan,) = rounds.ask(())
    asked = [choice.config for choice in plan.choices]
    assert best in tried or asked[0] == best
    assert len(asked) <= MOST - FEW


def test_points_hold_for_the_program_whatever_its_list_of_configs(
    study: Study, slow: str, workshop: ModuleType, tmp_path: Path
) -> None:
    config = Config.of({"BLOCK": 2048}, 8)
    known(study, tmp_path).keep([ConfigTrial(workshop.KERNEL, config, True, time_us=5.0)])
    other_list = slow.replace('{"BLOCK": 64}', '{"BLOCK": 128}')
    other_code = slow.replace("x * w + b", "x * w - b")
    for source, expected in ((other_list, {config: MeasuredPoint(5.0)}), (other_code, {})):
        problem = Problem(source=workshop.PROBLEM)
        target = api.target_gpu("RTX 4090")
        other = study_program(Subject(source), target, run_context(), problem=problem)
        assert known(other, tmp_path).of(workshop.KERNEL) == expected


def test_a_kernel_without_a_space_has_no_rounds(
    study: Study, slow: str, workshop: ModuleType, tmp_path: Path
) -> None:
    text = api.request(slow, gpu="RTX 4090", problem=workshop.PROBLEM, stage="tuning")
    rounds = rounds_of(parse_request(text), study, known(study, tmp_path))
    assert rounds.ask(()) == ()
