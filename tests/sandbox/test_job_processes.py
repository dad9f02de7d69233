"""Which processes belong to a job, as Linux tells it and as psutil does elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from warpwright.sandbox import job_processes
from warpwright.sandbox.child_branch import JOB_MARK
from warpwright.sandbox.job_processes import belonging, tree_of

MARK = "5a" * 8
WAIT = "import sys; print(flush=True); sys.stdin.read()"
# One that has a child of its own, and says its pid.
PARENT = f"""import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WAIT!r}], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["as this machine tells it", "as psutil does"])
def _source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "as psutil does":
        monkeypatch.setattr(job_processes, "PROC", "/no/such/folder")
        monkeypatch.setattr(job_processes, "_tells_children", lambda: False)


def started(code: str, directory: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[int]:
    """A process with the mark, in another directory."""
    with started(WAIT, tmp_path, **{JOB_MARK: MARK}) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        yield process.pid
        process.kill()


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    directory = (tmp_path / "job").resolve()
    directory.mkdir()
    return directory


@pytest.fixture
def inside(job_dir: Path) -> Iterator[int]:
    """A process in the job's directory, without the mark."""
    with started(WAIT, job_dir) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        yield process.pid
        process.kill()


@pytest.mark.usefixtures("_source")
def test_what_belongs_to_a_job_has_its_mark_or_its_directory(
    marked: int, inside: int, job_dir: Path
) -> None:
    assert {process.pid for process in belonging(MARK, job_dir)} == {marked, inside}
    assert not belonging("a5" * 8, job_dir.with_name("other"))


@pytest.mark.usefixtures("_source")
def test_a_process_that_has_ended_but_is_not_waited_for_belongs_to_none(
    marked: int, job_dir: Path
) -> None:
    process = psutil.Process(marked)
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        pass
    assert not belonging(MARK, job_dir)


@pytest.mark.usefixtures("_source")
def test_a_tree_holds_the_children_of_children(tmp_path: Path) -> None:
    with started(PARENT, tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert [process.pid for process in tree_of(parent.pid)] == [parent.pid, child]
        assert parent.pid in {process.pid for process in tree_of(os.getpid())}
        psutil.Process(child).kill()
        parent.kill()
    assert not tree_of(parent.pid)
