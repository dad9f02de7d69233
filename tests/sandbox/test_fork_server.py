"""Children that are forked with torch loaded are as separate as newly started ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from warpwright.sandbox import fork_server as fork_server_module
from warpwright.sandbox.child_branch import JOB_MARK
from warpwright.sandbox.fork_server import ForkedChild, ForkServer, ForkServerError, ForkServers
from warpwright.sandbox.kinds import JOBS
from warpwright.sandbox.loaded_ahead import load_for_an_answer
from warpwright.sandbox.run import FIXED, child_environment, load_ahead, run_job
from warpwright.types.job import Job, JobLimits, JobOutcome

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the fork server forks on Linux"
    ),
]

TELL = """
import os, sys
print("torch loaded:", "torch" in sys.modules)
print(open(f"/proc/{os.getpid()}/environ").read().replace(chr(0), " "))
print("group:", os.getpgid(0) == os.getpid())
sys.stdout.flush()
os._exit(5)
"""


# Whether an object was there before the fork: the fork server freezes what it has loaded.
FROZEN = "not any(o is {} for o in __import__('gc').get_objects())"


@pytest.fixture
def fork_servers() -> Iterator[ForkServers]:
    """Fork servers of this test's own, which end with it."""
    own = ForkServers()
    yield own
    own.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[ForkServers]:
    """Fork servers for the tests that end none."""
    own = ForkServers()
    yield own
    own.close()


def environment(tmp_path: Path, mark: str = "0123456789abcdef") -> dict[str, str]:
    return child_environment(tmp_path, mark, {})


def prepared(fork_servers: ForkServers, tmp_path: Path) -> ForkServer:
    fork_server = fork_servers.prepare(environment(tmp_path), FIXED)
    assert fork_server is not None
    return fork_server


def test_a_child_has_torch_and_its_own_mark_and_process_group() -> None:
    result = run_job(Job("import", {"source": TELL}, JobLimits(deadline_s=60)))
    assert result.outcome is JobOutcome.EXITED
    assert "torch loaded: True" in result.detail
    assert "group: True" in result.detail
    marks = [w for w in result.detail.split() if w.startswith(f"{JOB_MARK}=")]
    assert len(marks) == 1
    assert marks[0] != f"{JOB_MARK}={'0' * 16}"


@pytest.mark.parametrize(
    ("variables", "kind"), [({}, "JITFunction"), ({"TRITON_INTERPRET": "1"}, "InterpretedFunction")]
)
def test_a_child_has_triton_loaded_as_it_wants_it(variables: dict[str, str], kind: str) -> None:
    """What Triton's own functions are is settled when it is loaded."""
    source = (
        "import os, sys, triton\n"
        f"print('before:', {FROZEN.format('triton')}, type(triton.language.zeros).__name__)\n"
        "sys.stdout.flush()\nos._exit(5)\n"
    )
    job = Job("import", {"source": source}, JobLimits(deadline_s=60), environment=variables)
    for _ in range(2):  # the first makes the branch, the second finds it
        assert f"before: True {kind}" in run_job(job).detail


def test_a_job_runs_although_its_branch_of_the_fork_server_was_killed() -> None:
    job = Job("import", {"source": "value = 1"}, JobLimits(deadline_s=60))
    assert run_job(job).ok
    there = fork_server_module.fork_servers.last_used
    assert there is not None
    branches = psutil.Process(there._process.pid).children()
    assert branches
    for branch in branches:
        branch.kill()
    assert run_job(job).ok
    assert there.usable
    assert run_job(job).ok


def test_a_child_holds_no_descriptor_of_the_fork_server() -> None:
    source = "import os, sys\n" + (
        "for name in os.listdir('/proc/self/fd'):\n"
        "    try:\n"
        "        print('open', name, os.readlink(f'/proc/self/fd/{name}'))\n"
        "    except OSError:\n"
        "        pass\n"
        "sys.stdout.flush()\nos._exit(5)\n"
    )
    detail = run_job(Job("import", {"source": source}, JobLimits(deadline_s=60))).detail
    lines = [line.split(maxsplit=2) for line in detail.splitlines() if line.startswith("open ")]
    assert {line[1] for line in lines} == {"0", "1", "2"}


def test_children_do_not_share_their_random_numbers() -> None:
    source = (
        "import os, random, sys\nprint('drew', random.random())\nsys.stdout.flush()\nos._exit(5)"
    )
    job = Job("import", {"source": source}, JobLimits(deadline_s=60))
    drawn = [run_job(job).detail for _ in range(2)]
    assert all("drew 0." in text for text in drawn)
    assert drawn[0] != drawn[1]


def test_what_a_child_changes_stays_with_it() -> None:
    spoil = "import torch\ntorch.ones = None\n"
    look = "import torch\nassert torch.ones(2).sum() == 2\n"
    assert run_job(Job("import", {"source": spoil}, JobLimits(deadline_s=60))).ok
    assert run_job(Job("import", {"source": look}, JobLimits(deadline_s=60))).ok


def test_a_job_runs_although_the_fork_server_was_killed() -> None:
    job = Job("import", {"source": "value = 1"}, JobLimits(deadline_s=60))
    assert run_job(job).ok
    there = fork_server_module.fork_servers.last_used
    assert there is not None
    os.killpg(there._process.pid, signal.SIGKILL)
    there._process.wait()
    assert run_job(job).ok


def test_a_fork_server_that_dies_while_it_is_asked_is_told(
    tmp_path: Path, fork_servers: ForkServers
) -> None:
    fork_server = prepared(fork_servers, tmp_path)
    fork_server._process.kill()
    fork_server._process.wait()
    with pytest.raises(ForkServerError):
        fork_server.start(tmp_path, environment(tmp_path))


def test_each_environment_has_a_fork_server_of_its_own_and_a_third_ends_the_oldest(
    tmp_path: Path, fork_servers: ForkServers
) -> None:
    ours = environment(tmp_path)
    first, other = (fork_servers.prepare({**ours, "LANG": lang}, FIXED) for lang in ("A", "B"))
    assert first is not None and other is not None
    assert first is not other
    again = fork_servers.prepare({**environment(tmp_path, mark="f" * 16), "LANG": "A"}, FIXED)
    assert again is first
    assert fork_servers.prepare({**ours, "LANG": "B"}, FIXED) is other
    assert fork_servers.prepare({**ours, "LANG": "C"}, FIXED) is not None
    assert not first.usable
    assert other.usable


def test_a_child_that_ends_is_told_with_its_exit_code(tmp_path: Path, shared: ForkServers) -> None:
    fork_server = prepared(shared, tmp_path)
    child = fork_server.start(tmp_path, environment(tmp_path))  # a directory without a job
    assert child.wait() == 1
    assert b"job.json" in child.stdout.read()
    child.stdout.close()


def test_a_child_killed_by_a_signal_is_told_so(tmp_path: Path, shared: ForkServers) -> None:
    os.mkfifo(tmp_path / "job.json")  # it waits for its job
    child = prepared(shared, tmp_path).start(tmp_path, environment(tmp_path))
    assert child.poll() is None
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_children_of_one_branch_end_each_by_itself(tmp_path: Path, shared: ForkServers) -> None:
    os.mkfifo(tmp_path / "job.json")  # they wait for their job
    fork_server = prepared(shared, tmp_path)
    children = [fork_server.start(tmp_path, environment(tmp_path)) for _ in range(3)]
    assert len({psutil.Process(child.pid).ppid() for child in children}) == 1
    for child in reversed(children):
        assert child.poll() is None
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()


def test_an_end_that_is_told_in_one_breath_with_the_pid_is_no_failure_to_start() -> None:
    read_status, write_status = os.pipe()
    os.write(write_status, b"1234\n7\n")
    os.close(write_status)
    with Path(os.devnull).open("rb") as nothing:
        child = ForkedChild(nothing, read_status, 1.0)
        assert (child.pid, child.poll(), child.wait()) == (1234, 7, 7)


def test_our_own_modules_are_loaded_before_the_second_child_of_a_kind() -> None:
    module = "warpwright.tracing.child_importing"
    there = FROZEN.format(f"vars(__import__('sys').modules[{module!r}])")
    source = f"import os, sys\nprint('before:', {there})\nsys.stdout.flush()\nos._exit(5)\n"
    assert "before: True" in run_job(Job("import", {"source": source}, JobLimits(60))).detail


def test_what_a_kind_of_job_needs_is_loaded_ahead_of_its_first_child() -> None:
    module = JOBS["lower"]
    there = FROZEN.format(f"vars(__import__('sys').modules.get({module!r}))")
    source = f"import os, sys\nprint('before:', {there})\nsys.stdout.flush()\nos._exit(5)\n"
    job = Job("import", {"source": source}, JobLimits(60))
    fork_server_module.fork_servers.close()
    load_ahead("lower")
    assert "before: True" in run_job(job).detail


def test_jobs_run_although_the_fork_server_was_gone_when_it_was_to_load_ahead() -> None:
    assert run_job(Job("import", {"source": "value = 1"}, JobLimits(60))).ok
    there = fork_server_module.fork_servers.last_used
    assert there is not None
    os.killpg(there._process.pid, signal.SIGKILL)
    there._process.wait()
    load_for_an_answer("0")
    assert run_job(Job("import", {"source": "value = 1"}, JobLimits(60))).ok


def test_a_job_without_torch_waits_for_no_fork_server() -> None:
    fork_server_module.fork_servers.close()
    done = run_job(Job("machine", {"ask": "isolation"}, JobLimits(60)))
    assert done.ok, done.reason
    assert fork_server_module.fork_servers.last_used is None


def pid_told_by(code: str, *arguments: str) -> int:
    """What a process prints that runs `code` and is gone afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout, done.stderr
    return int(done.stdout)


def ends_soon(pid: int) -> bool:
    ends = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < ends:
        time.sleep(0.1)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


START = """import os, signal, sys
from pathlib import Path
from warpwright.sandbox.fork_server import ForkServer
from warpwright.sandbox.run import child_environment
variables = child_environment(Path('/tmp'), '0' * 16, {})
server = ForkServer(variables, Path('/'))
"""


def test_the_fork_server_ends_with_the_process_that_started_it() -> None:
    assert ends_soon(pid_told_by(START + "print(server._process.pid, flush=True)\nos._exit(0)\n"))


def test_a_job_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "job.json")  # it waits for its job
    code = (
        "child = server.start(Path(sys.argv[1]), variables)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert ends_soon(pid_told_by(START + code, str(tmp_path)))
