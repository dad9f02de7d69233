"""A draft at full size, checked beside the interpreter: begun, given up, begun again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.full_size import FULL_SIZE, FullSize
from warpwright.bench.statistics.budget import QUICK
from warpwright.sandbox.deadline import Deadline
from warpwright.search.configs_measured import MeasuredConfigs
from warpwright.search.full_size_checks import FullSizeChecks
from warpwright.search.open_trial import Table, open_table
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import CheckResult, Status, Verdict

pytestmark = pytest.mark.triton

GATE = Verdict((CheckResult("format", Status.PASS),))


@pytest.fixture(scope="module")
def study(workshop: ModuleType) -> Study:
    return study_program(
        Subject(workshop.PROGRAM),
        api.target_gpu("RTX 4090"),
        RunContext(ResultCache()),
        problem=Problem(source=workshop.PROBLEM),
    )


@pytest.fixture
def found(study: Study, tmp_path: Path) -> Iterator[MeasuredConfigs]:
    with open_table(TrialSetup(tmp_path, QUICK, "cpu"), study, {"test": "full size"}) as table:
        assert isinstance(table, Table), table
        table.deadline = Deadline(600.0)
        yield MeasuredConfigs(table, study, Trial(None, "quick"))


def plans_of(study: Study) -> tuple[ConfigPlan, ...]:
    """All configs of the program's own lists stay."""
    return tuple(
        ConfigPlan(
            kernel.kernel,
            tuple(ConfigChoice(config.config, False, True, "own") for config in kernel.configs),
        )
        for kernel in study.kernels
    )


def test_every_config_and_the_program_are_checked(found: MeasuredConfigs) -> None:
    plans, program = plans_of(found.study), found.study.view.source
    with FullSizeChecks(found) as checks:
        gate, failing = checks.begin(plans, program)(GATE)
    assert failing == {}
    assert gate.results[-1].check == FULL_SIZE and gate.results[-1].status is Status.PASS
    labels = {case.config for case in found.trial.cases}
    assert labels == {str(config) for config in plans[0].kept} | {"as handed out"}


def test_checks_that_were_given_up_are_made_when_they_are_wanted(
    found: MeasuredConfigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: to be given up is no failure of the program."""
    plans, program = plans_of(found.study), found.study.view.source
    begun, go_on, check = threading.Event(), threading.Event(), FullSize._run

    def slow(self: FullSize, *args: object, **named: object) -> object:
        begun.set()
        go_on.wait(30)
        return check(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FullSize, "_run", slow)
    for _ in range(3):
        with FullSizeChecks(found) as checks:
            begun.clear()
            go_on.clear()
            checks.begin(plans, program)
            assert begun.wait(60)
            checks._unwanted.set()
            go_on.set()
    with FullSizeChecks(found) as checks:
        gate, failing = checks.begin(plans, program)(GATE)
    assert failing == {}
    assert gate.results[-1].status is Status.PASS


def test_a_program_that_ends_early_has_failed(found: MeasuredConfigs) -> None:
    program = found.study.view.source
    crashing = program.replace("y = torch.empty_like(x)", "import os; os.abort()")
    assert crashing != program
    with FullSizeChecks(found) as checks:
        alone = tuple(ConfigPlan(k.kernel, (), left_alone="as it is") for k in found.study.kernels)
        gate, failing = checks.begin(alone, crashing)(GATE)
    assert failing == {}
    assert gate.status is Status.FAIL
    assert any("SIGABRT" in str(violation) for violation in gate.violations)


def test_nothing_is_checked_when_the_time_is_over(found: MeasuredConfigs) -> None:
    found.table.deadline = Deadline(0.0)
    with FullSizeChecks(found) as checks:
        gate, failing = checks.begin(plans_of(found.study), found.study.view.source)(GATE)
    assert (gate, failing) == (GATE, {})
    assert found.table.session.finished() == {}


def test_the_parents_own_verdict_says_how_it_was_judged(found: MeasuredConfigs) -> None:
    full_size = found.table.bench.full_size
    result = full_size.parent_verdict()
    assert result is not None and result.status is Status.PASS
    assert any("not config by config" in note for note in result.notes)
    full_size.right_parent = found.table.bench.program(found.study.view.source)
    assert full_size.parent_verdict() is None  # its tuner takes another
