"""A child that a tool starts, what its program may start, and the errors of an ncu that breaks."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from warpwright.profiler.ncu import command, query_metrics, run_under_ncu
from warpwright.sandbox.run import run_job
from warpwright.types.job import Job, JobLimits, JobOutcome
from warpwright.types.shapes import Problem, TensorSpec

START_UP_S = 60.0


def tool(folder: Path, script: str) -> Path:
    """A program of that name which does what the shell script says."""
    path = folder / "ncu"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)
    return path


@pytest.mark.triton
def test_a_child_that_a_tool_starts_ends_in_order_with_its_result() -> None:
    source = "import atexit\natexit.register(print, 'the end was orderly')\n"
    limits = JobLimits(deadline_s=START_UP_S)
    job = Job("import", {"source": source}, limits, launcher=("/usr/bin/env", "A=1"))
    result = run_job(job)
    assert result.ok, result
    assert "the end was orderly" in result.detail


GUARDED = """
import subprocess, shutil, sys
from pathlib import Path
from warpwright.sandbox import child_guard
child_guard.install(Path.cwd())
child_guard.allow_tools(["true"])
try:
    with child_guard.foreign_code():
        subprocess.run(["true"], check=True)
        subprocess.run([shutil.which("true")], check=True, close_fds=False)
    print("tool ran")
    with child_guard.foreign_code():
        subprocess.run(["echo", "escaped"])
except child_guard.ForbiddenActionError as error:
    print("refused:", error)
"""


def test_foreign_code_may_start_the_allowed_tools_and_nothing_else(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}\n{GUARDED}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["tool ran", "refused: start a process (subprocess): echo"]


def test_the_command_line_collects_the_named_metrics_of_the_marked_range_only() -> None:
    words = command(Path("ncu"), ["a__b.sum", "launch__grid_size"], "base", Path("/x/log"))
    options = dict(itertools.pairwise(words))
    assert options["--metrics"] == "a__b.sum,launch__grid_size"
    assert options["--profile-from-start"] == "off"
    assert options["--clock-control"] == "base"
    assert options["--log-file"] == "/x/log"


def test_an_ncu_that_fails_is_quoted(tmp_path: Path) -> None:
    ncu = tool(tmp_path, "echo '==ERROR== Driver could not be loaded.'; exit 1")
    names, problem = query_metrics(ncu)
    assert names == frozenset()
    assert problem is not None
    assert "Driver could not be loaded" in problem


def test_the_log_of_an_ncu_that_crashes_is_kept(tmp_path: Path) -> None:
    ncu = tool(
        tmp_path,
        """
        while [ "$1" != --log-file ]; do shift; done
        echo '==ERROR== Failed to create profiling session.' > "$2"
        kill -SEGV $$
        """,
    )
    problem = Problem(inputs=(TensorSpec((4,)),))
    run = run_under_ncu(
        ncu, "", problem, ["launch__grid_size"],
        clock_control="none", deadline_s=START_UP_S, warmups=2, seed=0,
    )  # fmt: skip
    assert run.job.outcome is JobOutcome.CRASHED
    assert "Failed to create profiling session" in run.log
