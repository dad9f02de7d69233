"""`warpwright optimize` as a command: what it writes where, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.triton

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))


def get_inputs():
    return [torch.rand(2, 4, 16, 18)]


def get_init_inputs():
    return [4, 16]
"""


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    path = tmp_path / "layer.py"
    path.write_text(PROBLEM)
    return path


def test_a_problem_alone_gives_a_program_and_its_evidence(warpwright, problem, tmp_path):
    out = tmp_path / "new.py"
    done = warpwright("optimize", problem, "--gpu", "4090", "--tries", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "class ModelNew" in out.read_text()
    record = json.loads((tmp_path / "new.record.json").read_text())
    assert record["schema_name"] == "warpwright.optimize"
    assert record["program"] == out.read_text()
    assert record["ranking_origin"] == "predicted"
    assert record["gate"]["status"] == "pass"
    assert len(record["candidates"]) == 2
    explanation = (tmp_path / "new.explanation.md").read_text()
    assert "not said that this is faster than cuDNN" in explanation
    assert "recognised: conv2d of 2×4×16×18 with 16×4×3×3" in done.stderr


def test_a_stuck_program_is_replaced_on_stdout(warpwright, problem, tmp_path):
    first = warpwright("optimize", problem, "--gpu", "4090", "--tries", "2", "--quiet")
    assert first.returncode == 0, first.stderr
    program = tmp_path / "stuck.py"
    program.write_text(first.stdout)
    done = warpwright(
        "optimize", program, "--problem", problem, "--gpu", "4090", "--tries", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["from_program"] is True
    assert record["program"] == first.stdout


def test_a_problem_of_another_kind_is_bad_input(warpwright, problem):
    problem.write_text(PROBLEM.replace("torch.relu(", "torch.cumsum(").replace("(x))", "(x), 1)"))
    done = warpwright("optimize", problem, "--gpu", "4090")
    assert done.returncode == 2
    assert "nothing recognised" in done.stderr
    assert "cumsum" in done.stderr
    assert done.stdout == ""


def test_a_program_without_its_problem_is_bad_input(warpwright, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("class ModelNew:\n    pass\n")
    done = warpwright("optimize", program, "--gpu", "4090")
    assert done.returncode == 2
    assert "candidate program" in done.stderr


def test_the_help_tells_it_apart_from_answer(warpwright):
    text = " ".join(warpwright("optimize", "--help").stdout.split())
    assert "keeps nothing of a program and writes a new one" in text
    assert "nothing says that it is faster than cuDNN" in text
