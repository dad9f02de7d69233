"""The runner: what foreign code does, the parent survives, tells apart and cleans up."""

from __future__ import annotations

import json
import re
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from warpwright.sandbox import run
from warpwright.sandbox.run import run_job
from warpwright.tracing.trace import problem_payload
from warpwright.types.job import Job, JobLimits, JobOutcome, JobResult
from warpwright.types.shapes import Problem, TensorSpec

pytestmark = pytest.mark.triton

# What every child needs to import torch and Triton on a busy machine.
START_UP_S = 30.0
SHORT = JobLimits(deadline_s=8.0)

MODEL = """
class ModelNew:
    def __call__(self, x):
        return x
"""


def run_program(source: str, limits: JobLimits | None = None) -> JobResult:
    """Import a program in a child, as every job with foreign code does, and call its model."""
    problem = Problem(inputs=(TensorSpec((4,)),))
    payload = {
        "source": textwrap.dedent(source) + MODEL,
        "problem": problem_payload(problem),
        "facts": {},
    }
    return run_job(Job("trace", payload, limits or JobLimits(deadline_s=START_UP_S)))


def failure_of(result: JobResult) -> str:
    """The message of a failure that the program itself caused."""
    if result.value is not None:
        return str(result.value["failed"]["message"])
    return str(result.reason)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids_in(text: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"pid (\d+)", text)]


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jobs make their directories here; none may be left at the end."""
    monkeypatch.setattr(run.tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert [path.name for path in tmp_path.glob("warpwright-*")] == []


def test_a_harmless_program_gives_a_result() -> None:
    result = run_program("value = 1")
    assert result.outcome is JobOutcome.OK
    assert result.value is not None
    assert result.value["trace"]["launches"] == []
    assert result.peak_memory_bytes != 0  # not known where it ended before it was looked at


def test_the_memory_of_a_program_is_told() -> None:
    result = run_program("import time; value = bytearray(50_000_000); time.sleep(0.5)")
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 50_000_000


def test_a_program_that_loops_is_stopped_at_the_deadline() -> None:
    started = time.monotonic()
    result = run_program("while True: pass", SHORT)
    assert result.outcome is JobOutcome.TIMEOUT
    assert result.reason == "still running after 8 s"
    assert time.monotonic() - started < 12


def test_a_program_that_stops_itself_is_stopped_at_the_deadline() -> None:
    result = run_program("import ctypes, os; ctypes.CDLL(None).kill(os.getpid(), 19)", SHORT)
    assert result.outcome is JobOutcome.TIMEOUT


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "import sys; sys.exit()", "exit(3)"])
def test_a_program_that_calls_exit_is_said_to_exit(statement: str) -> None:
    result = run_program(statement)
    assert result.outcome is JobOutcome.EXITED
    assert "exit" in str(result.reason)


def test_a_program_that_ends_the_process_is_said_to_exit_with_its_code() -> None:
    result = run_program("import os; os._exit(7)")
    assert result.outcome is JobOutcome.EXITED
    assert result.reason == "the process ended early, with exit code 7"


def test_exit_code_zero_without_a_result_is_no_success() -> None:
    assert run_program("import os; os._exit(0)").outcome is JobOutcome.EXITED


@pytest.mark.parametrize(
    ("statement", "signal_name"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import ctypes, os; ctypes.CDLL(None).kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_a_crash_names_its_signal(statement: str, signal_name: str) -> None:
    result = run_program(statement)
    assert result.outcome is JobOutcome.CRASHED
    assert result.reason == f"the process was killed by {signal_name}"


def test_a_memory_hog_is_stopped() -> None:
    limits = JobLimits(deadline_s=START_UP_S, memory_bytes=900 * 1024**2)
    result = run_program(
        """
        import time
        kept = []
        while True:
            kept.append(bytearray(b"x") * (20 * 1024**2))
            time.sleep(0.01)
        """,
        limits,
    )
    assert result.outcome is JobOutcome.OUT_OF_MEMORY
    assert result.reason == "it used more than 0.9 GiB of memory"


def test_an_allocation_that_python_refuses_is_out_of_memory_too() -> None:
    assert run_program("x = bytearray(1 << 60)").outcome is JobOutcome.OUT_OF_MEMORY


def test_endless_output_is_stopped_and_its_tail_kept() -> None:
    limits = JobLimits(deadline_s=START_UP_S, output_bytes=100_000)
    result = run_program("while True: print('again and again')", limits)
    assert result.outcome is JobOutcome.OUTPUT_LIMIT
    assert "again and again" in result.detail
    assert len(result.detail) < 10_000


def test_output_that_is_no_text_does_no_harm() -> None:
    result = run_program("import os; os.write(1, bytes(range(256))); raise SystemExit")
    assert result.outcome is JobOutcome.EXITED


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        ("import os; os.fork()", "start a process (fork)"),
        ("import subprocess; subprocess.run(['true'])", "start a process (subprocess)"),
        ("import os; os.system('true')", "start a shell (os.system)"),
        ("import os; os.kill(1, 0)", "signal a process"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "open a network connection"),
    ],
)
def test_what_no_program_needs_is_refused_by_name(statement: str, action: str) -> None:
    result = run_program(statement)
    assert result.outcome is JobOutcome.FAILED
    assert result.reason == f"the code tried to {action}"


def test_a_forbidden_action_counts_even_when_the_program_catches_it() -> None:
    result = run_program(
        """
        try:
            __import__("os").fork()
        except BaseException:
            pass
        """
    )
    assert result.outcome is JobOutcome.FAILED
    assert result.reason == "the code tried to start a process (fork)"


def test_a_file_outside_its_directory_is_not_written(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    target = tmp_path_factory.mktemp("outside") / "file"
    result = run_program(f"open({str(target)!r}, 'w').write('x')")
    assert result.outcome is JobOutcome.FAILED
    assert "write a file outside its directory" in str(result.reason)
    assert not target.exists()


def test_a_file_in_its_own_directory_is_no_offence() -> None:
    assert run_program("open('note', 'w').write('x')").ok


def test_the_environment_of_the_user_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "do-not-leak")
    result = run_program(
        """
        import os
        seen = [v for v in os.environ.values() if "leak" in v]
        raise ValueError(f"saw {seen}, home is {os.environ['HOME'] == os.getcwd()}")
        """
    )
    assert failure_of(result) == "saw [], home is True"


def test_a_raised_exception_is_told_with_its_line() -> None:
    result = run_program("x = 1\nraise ValueError('not this')")
    assert result.value is not None
    failed = result.value["failed"]
    assert (failed["type"], failed["message"]) == ("ValueError", "not this")
    assert (failed["file"], failed["line"]) == ("program.py", 2)


def test_deep_recursion_is_a_failure_and_no_crash() -> None:
    result = run_program("def f(): return f()\nf()")
    assert "recursion" in failure_of(result)


def test_threads_left_behind_do_not_keep_the_child_alive() -> None:
    result = run_program(
        """
        import threading, time
        threading.Thread(target=lambda: time.sleep(1000)).start()
        """
    )
    assert result.ok
    assert result.wall_s < START_UP_S


def test_a_process_forked_behind_the_fence_does_not_outlive_the_job() -> None:
    result = run_program(
        """
        import ctypes, os, time
        libc = ctypes.CDLL(None)
        for _ in range(3):
            pid = libc.fork()
            if pid == 0:
                libc.setsid()
                time.sleep(1000)
            print("pid", pid, flush=True)
        print("parent pid", os.getpid())
        raise SystemExit
        """
    )
    pids = pids_in(result.detail)
    assert len(pids) == 4
    assert all(gone(pid) for pid in pids)


def test_a_forked_copy_cannot_answer_for_the_job() -> None:
    result = run_program(
        """
        import ctypes, os, time
        if ctypes.CDLL(None).fork() != 0:
            time.sleep(1000)
        """,
        SHORT,
    )
    assert result.outcome is JobOutcome.TIMEOUT


def test_a_process_with_another_environment_is_found_by_its_directory() -> None:
    result = run_program(
        """
        import ctypes, os, time
        line = b"env -i setsid sh -c 'echo pid $$; : > started; exec sleep 1000' &"
        ctypes.CDLL(None).system(line)
        while not os.path.exists("started"):
            time.sleep(0.05)
        raise SystemExit
        """
    )
    pids = pids_in(result.detail)
    assert len(pids) == 1
    assert gone(pids[0])


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        '{"value": 3}',
        '{"error": 3}',
        '{"error": {"place": [], "type": null}}',
        "[" * 100_000,
    ],
)
def test_a_forged_result_of_the_wrong_form_is_a_failure(text: str) -> None:
    code = f"import os; open('result.json', 'w').write({text!r}); os._exit(0)"
    result = run_program(code)
    assert result.outcome is JobOutcome.FAILED
    assert result.value is None


def test_a_forged_link_as_result_is_not_followed() -> None:
    result = run_program("import os; os.symlink('job.json', 'result.json'); os._exit(0)")
    assert result.outcome is JobOutcome.EXITED


def test_text_that_looks_like_a_result_is_only_output() -> None:
    forged = json.dumps({"value": {"trace": {"launches": ["forged"]}}})
    result = run_program(f"print({forged!r})")
    assert result.value is not None
    assert result.value["trace"]["launches"] == []


def test_only_plain_files_leave_the_job(tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("kept")
    source = """
    import os
    open("out/data", "w").write("mine")
    os.symlink("/etc/passwd", "out/link")
    os.mkdir("out/folder")
    """
    problem = Problem(inputs=(TensorSpec((4,)),))
    payload = {
        "source": textwrap.dedent(source) + MODEL,
        "problem": problem_payload(problem),
        "facts": {},
    }
    limits = JobLimits(deadline_s=START_UP_S)
    assert run_job(Job("trace", payload, limits, keep_output=kept)).ok
    assert [path.name for path in kept.iterdir()] == ["data"]


def test_files_given_to_a_job_are_copies(tmp_path_factory: pytest.TempPathFactory) -> None:
    given = tmp_path_factory.mktemp("given") / "data"
    given.write_text("ours")
    payload = {
        "source": "open('in/data', 'a').write('theirs')\n" + MODEL,
        "problem": problem_payload(Problem(inputs=(TensorSpec((4,)),))),
        "facts": {},
    }
    job = Job("trace", payload, JobLimits(deadline_s=START_UP_S), files={"data": given})
    assert run_job(job).ok
    assert given.read_text() == "ours"
