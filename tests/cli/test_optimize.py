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


def test_a_stuck_program_is_replaced_where_that_is_asked_for(warpwright, problem, tmp_path):
    first = warpwright("optimize", problem, "--gpu", "4090", "--tries", "2", "--quiet")
    assert first.returncode == 0, first.stderr
    program = tmp_path / "stuck.py"
    program.write_text(first.stdout)
    command = ("optimize", program, "--problem", problem, "--gpu", "4090")
    done = warpwright(*command, "--stages", "algorithm", "--tries", "2", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["schema_name"] == "warpwright.walk"
    (stage,) = record["stages"]
    assert (stage["stage"], stage["outcome"]) == ("algorithm", "changed")
    assert stage["algorithm"]["from_program"] is True
    assert record["first"] == first.stdout
    assert record["program"] == stage["program"] == first.stdout
    assert record["gain"]["origin"] is None


ADDED = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def added_kernel(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count)
    tl.store(y_ptr + at, x + 1.0, mask=at < count)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        added_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
        return y
"""
ADDED_PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x + 1.0


def get_inputs():
    return [torch.rand(64, 30)]
"""


@pytest.fixture
def added(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "added.py").write_text(ADDED)
    (tmp_path / "sum.py").write_text(ADDED_PROBLEM)
    return ("optimize", "added.py", "--problem", "sum.py", "--gpu", "4090")


def test_a_program_goes_through_the_stages_and_leaves_its_evidence(warpwright, added, tmp_path):
    done = warpwright(*added, "--stages", "grid,memory", "--requests", "asked", "--out", "new.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "class ModelNew" in (tmp_path / "new.py").read_text()
    record = json.loads((tmp_path / "new.record.json").read_text())
    assert record["program"] == (tmp_path / "new.py").read_text()
    assert [stage["stage"] for stage in record["stages"]] == ["grid", "memory"]
    assert "what changed, or why not" in done.stderr
    assert "what changed, or why not" in (tmp_path / "new.explanation.md").read_text()
    assert sorted(path.name for path in (tmp_path / "asked").iterdir()) == [
        "1-grid.md",
        "2-memory.md",
    ]
    judged = warpwright("check", "asked/1-grid.md", "added.py", "--quiet")
    assert judged.returncode == 0, judged.stdout
    scores = warpwright("runs", "--moves", "--json")
    assert json.loads(scores.stdout)["schema_name"] == "warpwright.move_scores"


def test_a_reply_beside_a_request_is_judged(warpwright, added, tmp_path):
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "1-grid.reply.md").write_text("I cannot help with that.")
    done = warpwright(*added, "--stages", "grid", "--requests", "asked", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    assert stage["reply"]["taken"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stages", "grid,polish"), ("unknown stage", "tuning", "polish")),
        (("--from", "polish"), ("unknown stage", "--from")),
        (("--from", "grid", "--stages", "tuning"), ("both given",)),
        (("--kind", "double"), ("--kind", "fusion")),
        (("--effort", "huge"), ("quick, normal, thorough",)),
        (("--profile", "none.json"), ("none.json", "No such file")),
        (("--problem", "none.py"), ("none.py", "No such file")),
        (("--input", "64x30"), ("both given",)),
        (("--requests", "added.py"), ("added.py",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_wrong_about_a_walk_is_told_at_once(warpwright, added, options, words):
    done = warpwright(*added, *options, timeout_s=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_a_program_that_cannot_be_read_is_bad_input(warpwright, added, tmp_path):
    (tmp_path / "added.py").write_text(ADDED.replace("def forward(self, x)", "def forward(self, x"))
    done = warpwright(*added)
    assert done.returncode == 2
    assert "added.py:" in done.stderr
    (tmp_path / "added.py").write_text("import torch\n")
    assert warpwright(*added).returncode == 2


def test_the_options_of_stages_need_a_program_and_its_problem(warpwright, problem):
    done = warpwright("optimize", problem, "--gpu", "4090", "--stages", "grid")
    assert done.returncode == 2
    assert "--problem FILE" in done.stderr


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


def test_the_help_teaches_both_uses(warpwright):
    text = " ".join(warpwright("optimize", "--help").stdout.split())
    for words in (
        "kernel.py --problem layer.py --gpu here -o better.py",
        "layer.py --gpu 4090 -o new.py",
        "Nothing says that it is faster than cuDNN unless it was timed",
        "--effort",
        "check DIR/1-grid.md DIR/1-grid.reply.md",
    ):
        assert words in text
