"""`answer` with and without a GPU: what it refuses, and what it says when it cannot measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]

EXAMPLE = Path(__file__).parents[2] / "examples" / "02-conv2d-dilated"
REQUEST, PROBLEM = EXAMPLE / "request.txt", EXAMPLE / "problem.py"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides a GPU that this machine may have."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def test_help_tells_answer_from_optimize(warpwright: Command) -> None:
    done = warpwright("answer", "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "this is the request's own stage only" in text.lower()
    assert "optimize" in text


def test_an_unknown_budget_is_refused(warpwright: Command) -> None:
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--budget", "huge")
    assert done.returncode == 2
    assert "quick, default, thorough" in done.stderr
    assert done.stdout == ""


def test_measuring_without_shapes_is_refused(warpwright: Command) -> None:
    done = warpwright("answer", REQUEST, "--measure")
    assert done.returncode == 2
    assert "--problem FILE" in done.stderr


@pytest.mark.usefixtures("no_gpu")
def test_measuring_without_a_gpu_ends_with_3(warpwright: Command) -> None:
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--measure")
    assert done.returncode == 3
    assert "no NVIDIA GPU" in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("no_gpu")
def test_this_machines_gpu_as_target_needs_one(warpwright: Command) -> None:
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--gpu", "here")
    assert done.returncode == 3
    assert "doctor" in done.stderr


@pytest.mark.triton
@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_answer_says_that_nothing_is_measured(
    warpwright: Command, tmp_path: Path
) -> None:
    out = tmp_path / "better.py"
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "nothing is measured: this machine has no NVIDIA GPU" in done.stderr
    assert "not measured" in (tmp_path / "better.explanation.md").read_text()
    script = (tmp_path / "better.verify.py").read_text()
    compile(script, "better.verify.py", "exec")
    assert out.read_text().strip() in script
