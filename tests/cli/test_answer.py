"""`answer` with and without a GPU: what it refuses, and what it says when it cannot measure."""

from __future__ import annotations

import json
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
    for words in ("and moves, edits of the kernels", "--strict", "--bit-equal", "predict a gain"):
        assert words in text


def test_an_unknown_effort_is_refused(warpwright: Command) -> None:
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--effort", "huge")
    assert done.returncode == 2
    assert "quick, normal, thorough" in done.stderr
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
    patient = ("--time-limit", "280")  # other tests run beside it
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, *patient, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "nothing is measured: this machine has no NVIDIA GPU" in done.stderr
    assert ": specialise 11 parameters in dilated_conv_kernel: " in done.stderr
    assert "\nnot measured: executed instructions " in done.stderr
    explanation = (tmp_path / "better.explanation.md").read_text()
    assert "not measured" in explanation
    assert "## What was done to the program\n\n1. `dilated_conv_kernel`: " in explanation
    record = json.loads((tmp_path / "better.record.json").read_text())
    move = record["moves"][0]
    assert (move["name"], move["claim"]) == ("specialise", "bit-equal")
    assert "dilation_h" in move["arguments"]["parameters"]
    assert record["moves_counted"][0]["accepted"]
    assert record["gate"]["beyond_stage"]
    script = (tmp_path / "better.verify.py").read_text()
    compile(script, "better.verify.py", "exec")
    assert out.read_text().strip() in script


@pytest.mark.triton
@pytest.mark.usefixtures("no_gpu")
def test_strict_makes_no_edit_that_the_rules_do_not_ask_for(
    warpwright: Command, tmp_path: Path
) -> None:
    out = tmp_path / "strict.py"
    done = warpwright("answer", REQUEST, "--problem", PROBLEM, "--strict", "--out", out)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "strict.record.json").read_text())
    assert record["decision"] == "changed"
    assert record["moves"] == record["moves_counted"] == record["gate"]["beyond_stage"] == []
    assert record["gate"]["limits"] == {"strict": True, "bit_equal": False}
    assert "constexpr" not in _signature_of("stride", out.read_text())
    assert "no speed is claimed" in (tmp_path / "strict.explanation.md").read_text()


def _signature_of(parameter: str, program: str) -> str:
    """The line that declares a kernel's parameter."""
    return next(
        line
        for line in program.split("def dilated_conv_kernel")[1].splitlines()
        if parameter in line
    )
