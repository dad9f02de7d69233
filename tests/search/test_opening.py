"""The opening of a trial: begun before the program is studied, ended with it."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.bench.processes import Bench
from warpwright.bench.statistics.budget import QUICK
from warpwright.search.opening import Opening
from warpwright.search.trial_setup import TrialSetup
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import CandidateFailed, WorkerDied

pytestmark = pytest.mark.triton

SLEEPING_S = 60


def opening(tmp_path: Path, problem: str, program: str) -> Opening:
    setup = TrialSetup(tmp_path / "state", QUICK, "cpu")
    return Opening(setup, Problem(source=problem), program, tmp_path / "caches")


def test_references_are_there_before_anything_is_known_of_the_program(
    workshop: ModuleType, tmp_path: Path
) -> None:
    with opening(tmp_path, workshop.PROBLEM, workshop.PROGRAM) as begun:
        bench = begun.prepared()
        assert isinstance(bench, Bench)
        assert bench.full_size.references and not bench.full_size.parent_runs
        bench.full_size.required_kernels = (workshop.KERNEL,)
        assert bench.open() is None
        assert bench.full_size.parent_is_right


def test_a_problem_that_cannot_be_loaded_is_told(workshop: ModuleType, tmp_path: Path) -> None:
    with opening(tmp_path, "raise ValueError('no such luck')", workshop.PROGRAM) as begun:
        failed = begun.prepared()
    assert isinstance(failed, CandidateFailed)
    assert "no such luck" in failed.reason


def test_no_other_process_takes_up_references_that_nobody_wants(
    workshop: ModuleType, tmp_path: Path
) -> None:
    """Where a reference process dies by itself another does its work."""
    slow = workshop.PROBLEM.replace(
        "def get_inputs():", f"def get_inputs():\n    __import__('time').sleep({SLEEPING_S})"
    )
    assert slow != workshop.PROBLEM
    began = time.monotonic()
    with opening(tmp_path, slow, workshop.PROGRAM) as begun:
        while begun._bench is None or not begun._bench.reference_process.has_model:
            time.sleep(0.05)
        time.sleep(0.5)
    assert time.monotonic() - began < SLEEPING_S / 2
    assert isinstance(begun.prepared(), WorkerDied)


def test_one_that_is_given_up_before_its_processes_are_there_ends_as_well(
    workshop: ModuleType, tmp_path: Path
) -> None:
    slow = f"import time\ntime.sleep({SLEEPING_S})\n{workshop.PROBLEM}"
    began = time.monotonic()
    with opening(tmp_path, slow, workshop.PROGRAM):
        pass
    assert time.monotonic() - began < SLEEPING_S / 2


def test_one_that_nobody_wants_any_more_ends_at_once(workshop: ModuleType, tmp_path: Path) -> None:
    slow = f"import time\ntime.sleep({SLEEPING_S})\n{workshop.PROBLEM}"
    began = time.monotonic()
    with opening(tmp_path, slow, workshop.PROGRAM) as begun:
        while begun._bench is None:
            time.sleep(0.05)
        time.sleep(0.5)
    assert time.monotonic() - began < SLEEPING_S / 2
    assert not isinstance(begun.prepared(), Bench)
