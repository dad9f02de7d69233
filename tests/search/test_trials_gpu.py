"""A measured answer on a GPU, the whole way: a program that is really slow gets really faster."""

from __future__ import annotations

from pathlib import Path

import pytest
from product import PROBLEM, PROGRAM

from warpwright import api
from warpwright.program.edit.config_edit import set_configs
from warpwright.program.view import read_program
from warpwright.types.answer import Decision
from warpwright.types.measurement import Outcome
from warpwright.types.shapes import Problem
from warpwright.types.verdict import EditLimits, Status

pytestmark = pytest.mark.gpu

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "01-conv2d-stride4"


def test_a_slow_program_is_answered_with_a_measured_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example of ours with one config left, whose number of warps is a bad choice."""
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path / "state"))
    program = (EXAMPLE / "program.py").read_text()
    autotune = read_program(program).kernels[0].autotune
    assert autotune is not None
    bad = next(config for config in autotune.configs or () if config.num_warps == 8)
    request = api.request(set_configs(program, "strided_conv_kernel", [bad]), gpu="here")
    answer = api.answer(
        request,
        problem=Problem(source=(EXAMPLE / "problem.py").read_text()),
        gpu="here",
        measuring=api.Measuring(wanted=True, effort="quick"),
    )
    assert answer.decision is Decision.CHANGED, answer.reason
    trial = answer.trial
    assert trial is not None and trial.gpu is not None and trial.comparison is not None
    assert trial.comparison.outcome is Outcome.ACCEPT
    assert trial.comparison.gain_pct is not None and trial.comparison.gain_pct > 10
    assert trial.accuracy is not None and trial.accuracy.status is Status.PASS
    assert any(burst.conditions is not None for burst in trial.bursts)


def test_the_program_with_its_best_config_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the rules allow is in its list already: without moves nothing new can be faster."""
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path / "state"))
    stages = ", ".join(
        f'triton.Config({{"ROWS": 128, "COLUMNS": 128, "DEPTH": 32}}, num_warps=8, num_stages={n})'
        for n in (2, 3, 4)
    )
    start, end = PROGRAM.index("triton.Config"), PROGRAM.index("\n    ],\n    key")
    program = f"{PROGRAM[:start]}{stages}{PROGRAM[end:]}"
    answer = api.answer(
        api.request(program, gpu="here"),
        problem=Problem(source=PROBLEM),
        gpu="here",
        measuring=api.Measuring(wanted=True, effort="quick"),
        limits=EditLimits(strict=True),
    )
    assert answer.decision is Decision.KEPT
    assert answer.trial is not None
    assert len([config for config in answer.trial.configs if not config.proposed]) == 3
