"""A profile holds the program's own kernels; what else ran is listed apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpwright import api
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.request_text import parse_request
from warpwright.profiler.profile_run import own_kernels
from warpwright.report.profile_record import profile_notes, profile_record
from warpwright.types.profiling import NcuLaunch, NcuOutput
from warpwright.types.shapes import Problem

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("01-conv2d-stride4", "02-conv2d-dilated")
GRID = "launch__grid_size"


def test_own_kernels_are_grouped_by_name_and_others_counted() -> None:
    launches = [NcuLaunch(k, {GRID: g}) for k, g in (("a", 1.0), ("fill<float>", 9.0), ("a", 2.0))]
    profile, others = own_kernels(NcuOutput(tuple(launches)), ["a", "b"])
    assert [(k.kernel, k.values(GRID)) for k in profile.kernels] == [("a", (1.0, 2.0))]
    assert others == {"fill<float>": 1}


def example(name: str) -> tuple[str, Problem]:
    folder = EXAMPLES / name
    problem = read_problem((folder / "problem.py").read_text(), document="problem.py")
    return (folder / "program.py").read_text(), problem


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_profiled_and_fed_back_into_its_request(name: str) -> None:
    program, problem = example(name)
    run = api.profile(program, problem=problem, groups=["stalls", "registers", "l1"])
    assert run.conditions.clock_control == "none"
    (kernel,) = run.profile.kernels
    assert len(kernel.launches) == 1, "tuning or warm-up was profiled"
    assert all(kernel.launches[0][metric] is not None for metric in run.metrics)
    assert kernel.metric(GRID) in _grids(name)
    assert profile_record(run).profile.keys() == {kernel.kernel}
    assert run.gpu.name in profile_notes(run)[0]
    text = api.with_profile((EXAMPLES / name / "request.txt").read_text(), program, run)
    again = parse_request(text)
    assert again.profile == run.profile
    assert again.gpu.fields["sm_count"] == run.gpu.sm_count
    study = api.inspect(text, problem=problem)
    assert study.kernels


def _grids(name: str) -> set[float]:
    """The grid of each config of the example, traced for this GPU."""
    program, problem = example(name)
    study = api.inspect(program, gpu="here", problem=problem)
    grids = [config.grid for kernel in study.kernels for config in kernel.configs]
    return {float(x * y * z) for x, y, z in (tuple(g) + (1,) * (3 - len(g)) for g in grids if g)}


@pytest.mark.gpu
def test_exactly_the_named_metrics_are_collected() -> None:
    program, problem = example(NAMES[0])
    run = api.profile(program, problem=problem, metrics=[GRID])
    assert [dict(launch).keys() for k in run.profile.kernels for launch in k.launches] == [{GRID}]
