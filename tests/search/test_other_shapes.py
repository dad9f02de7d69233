"""Other shapes: which are tried, and both programs really run on them (in the interpreter)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.statistics.budget import QUICK
from warpwright.report.trial_text import trial_section
from warpwright.sandbox.deadline import Deadline
from warpwright.search.open_trial import Table, open_table
from warpwright.search.other_shapes import SHAPES, other_shapes, time_other_shapes
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.trial import OtherShape, Trial

SMALL = replace(QUICK, screening_burst_us=6_000, burst_us=6_000, warm_up_us=5_000, max_calls=8)


def test_half_a_batch_comes_first_and_sizes_change_wherever_they_stand() -> None:
    found = list(other_shapes([(8, 32, 64), (8, 64)]))
    assert found[0] == ((4, 32, 64), (4, 64))
    assert ((8, 32, 63), (8, 63)) in found and ((8, 32, 32), (8, 32)) in found
    assert ((8, 31, 64), (8, 64)) in found
    assert all(min(size for shape in shapes for size in shape) > 0 for shapes in found)


def test_what_has_no_other_shape_has_none() -> None:
    assert list(other_shapes([])) == [] and list(other_shapes([()])) == []
    assert list(other_shapes([(1, 1)])) == []


@pytest.mark.triton
@pytest.mark.parametrize("with_source", [True, False])
def test_both_programs_run_on_up_to_three_other_shapes(
    workshop: ModuleType, tmp_path: Path, with_source: bool
) -> None:
    text: str = workshop.PROGRAM
    problem = Problem(source=workshop.PROBLEM)
    if not with_source:
        inputs = (TensorSpec((workshop.ROWS, workshop.COLUMNS)),)
        problem = Problem(inputs=inputs, init_args=(workshop.COLUMNS,))
    run_context = RunContext(ResultCache())
    study = study_program(Subject(text), api.target_gpu("RTX 4090"), run_context, problem=problem)
    with open_table(TrialSetup(tmp_path, SMALL, "cpu"), study, {"test": True}) as table:
        assert isinstance(table, Table), table
        found = time_other_shapes(table, study, text, run_context)
        again = time_other_shapes(table, study, text, run_context)
        over = replace(table, deadline=Deadline(0.0, "--effort"))
        assert time_other_shapes(over, study, text, run_context) == ()
    assert 0 < len(found) <= SHAPES and again == found  # kept in the ledger
    half = f"{workshop.ROWS // 2}x{workshop.COLUMNS}"
    assert found[0].shapes == half
    assert all(one.failure is None and (one.answer_us or 0) > 0 for one in found), found


def test_losses_and_failures_are_told() -> None:
    others = (
        OtherShape("4x8", 100.0, 125.0, -20.0, 0.5, 3.2),
        OtherShape("3x8", failure="the answer: out of memory"),
    )
    told = trial_section(Trial(None, "default", other_shapes=others))
    assert "| 4x8 | 100 | 125 | -20 % (slower) | 0.5 s | 3.2 s |" in told
    assert "not timed: the answer: out of memory" in told
