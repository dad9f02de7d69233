"""Start a job's child process, watch it, and say what came of it.

A job gets a process group and an empty temporary directory of its own, an environment with
nothing of the user's in it, a deadline, a memory watchdog over its whole process tree, and a
limit on what it may print. Nothing it starts outlives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from warpwright.errors import SandboxError
from warpwright.sandbox.child_branch import JOB_MARK
from warpwright.sandbox.fork_server import ForkedChild, ForkServerError, fork_servers
from warpwright.sandbox.job_processes import belonging, tree_of
from warpwright.sandbox.kinds import (
    JOBS,
    MAIN,
    PERSISTENT,
    PROCESS_LOADS,
    PROCESSES,
    TOO,
    WITHOUT_TORCH,
)
from warpwright.types.job import Job, JobLimits, JobOutcome, JobResult

NOTHING: Mapping[str, str] = {}
POLL_S = 0.05
TAIL_BYTES = 8192
# What a child may inherit. Everything else (tokens, proxies, home, Python's own variables) stays
# outside. CUDA finds its driver through the first two.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT", "OPENBLAS_CORETYPE")
# What counts while torch is loaded, which the fork server does once for all jobs.
FIXED = (
    *INHERITED,
    "PYTHONHASHSEED",
    "PYTHONUNBUFFERED",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
RESULT_BYTES = 256 * 1024**2
# What jobs of these kinds load by and by, through what torch does of tensors without data: it
# takes more processor time than the rest of the job.
LOADS = {
    **dict.fromkeys(("cost", "shrink", "sizes"), ("torch._dynamo",)),
    "compile_and_keep": ("warpwright.compiler.child_triton_digest",),
    "recognize": ("torch._dynamo", "torch.export._trace"),
}


def run_job(job: Job) -> JobResult:
    """Run a job to its end; never raises for what the foreign code does."""
    job_dir = Path(tempfile.mkdtemp(prefix="warpwright-")).resolve()
    try:
        _fill(job_dir, job)
        return _watch(job_dir, job)
    finally:
        shutil.rmtree(job_dir, ignore_errors=True)


def load_ahead(kind: str, environment: Mapping[str, str] = NOTHING) -> None:
    """Let the fork server load what jobs of a kind will need, and do not wait for it.

    `environment`: what such a job states. Where there is no fork server nothing is loaded.
    """
    loads, modules = LOADS.get(kind, ()), (JOBS[kind], *TOO.get(kind, ()))
    _load_ahead(environment, loads, modules)


def load_process_ahead(kind: str, environment: Mapping[str, str] = NOTHING) -> None:
    """As `load_ahead`, for persistent processes of a kind."""
    _load_ahead(environment, PROCESS_LOADS.get(kind, ()), (PERSISTENT, PROCESSES[kind]))


def _load_ahead(
    environment: Mapping[str, str], loads: Sequence[str], modules: Sequence[str]
) -> None:
    variables = child_environment(Path("/"), "", environment)
    fork_server = fork_servers.prepare(variables, FIXED)
    if fork_server is not None:
        with contextlib.suppress(ForkServerError):  # the first job finds out, and starts another
            fork_server.load_ahead(variables, loads, modules)


def _fill(job_dir: Path, job: Job) -> None:
    (job_dir / "in").mkdir()
    (job_dir / "out").mkdir()
    for name, path in job.files.items():
        shutil.copyfile(path, job_dir / "in" / name)
    payload = {"kind": job.kind, "payload": dict(job.payload), "launched": bool(job.launcher)}
    (job_dir / "job.json").write_text(json.dumps(payload))


def child_environment(job_dir: Path, mark: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The scrubbed environment of a child."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "HOME": str(job_dir),
        "TMPDIR": str(job_dir),
        "TRITON_CACHE_DIR": str(job_dir / "triton"),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        JOB_MARK: mark,
    }
    return environment | dict(extra)


def child_command(statement: str) -> list[str]:
    """The command of a child process that executes one line of Python."""
    # -I keeps the user's environment and working directory out of sys.path; the parent's own
    # path goes in, so that a source checkout works as an installed package does.
    path = [entry for entry in sys.path if entry]
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {path!r}\n{statement}"]


def _watch(job_dir: Path, job: Job) -> JobResult:
    mark = secrets.token_hex(8)
    started = time.monotonic()
    environment = child_environment(job_dir, mark, job.environment)
    process = start_child(
        job_dir,
        environment,
        launcher=job.launcher,
        loads=LOADS.get(job.kind, ()),
        modules=(JOBS[job.kind], *TOO.get(job.kind, ())),
        forked=job.kind not in WITHOUT_TORCH,
    )
    assert process.stdout is not None
    output = OutputReader(process.stdout, job.limits.output_bytes)
    try:
        stopped, peak = _wait(process, output, job.limits, started)
    finally:
        kill_job(process.pid, mark, job_dir)
        returncode = process.wait()
        output.finish()
    result = _read_result(job_dir, returncode, stopped, job.limits)
    if result.ok and job.keep_output is not None:
        _move_output(job_dir / "out", job.keep_output)
    return JobResult(
        outcome=result.outcome,
        value=result.value,
        reason=result.reason,
        detail=result.detail or output.tail(),
        wall_s=time.monotonic() - started,
        peak_memory_bytes=peak or None,  # a short job may end before anybody looks
    )


def start_child(
    job_dir: Path,
    environment: Mapping[str, str],
    *,
    entry: str = MAIN,
    arguments: Sequence[str] = (),
    descriptors: Sequence[int] = (),
    launcher: Sequence[str] = (),
    loads: Sequence[str] = (),
    modules: Sequence[str] = (),
    forked: bool = True,
) -> subprocess.Popen[bytes] | ForkedChild:
    """A child that calls `main(*arguments, *descriptors)` of the module `entry`.

    A fork of the fork server, which has loaded torch, Triton, `loads` and `modules`; or a process
    started anew where there is none, where it needs none of that (not `forked`), or where another
    tool (`launcher`, a command) starts it. Raises SandboxError.
    """
    anew = launcher or not forked
    fork_server = None if anew else fork_servers.prepare(environment, FIXED)
    if fork_server is not None:
        try:
            return fork_server.start(
                job_dir,
                environment,
                entry=entry,
                arguments=arguments,
                descriptors=descriptors,
                loads=loads,
                modules=modules,
            )
        except ForkServerError:
            pass  # it is gone: this job starts a process of its own, the next one a new fork server
    call = ", ".join(map(repr, (*arguments, *descriptors)))
    try:
        return subprocess.Popen(
            [
                *launcher,
                *child_command(f"from {entry} import main; main({call})"),
            ],
            cwd=job_dir,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=descriptors,
        )
    except OSError as error:
        raise SandboxError(f"cannot start a child process: {error}") from error


def _wait(
    process: subprocess.Popen[bytes] | ForkedChild,
    output: OutputReader,
    limits: JobLimits,
    started: float,
) -> tuple[JobOutcome | None, int]:
    """Poll until the child ends or breaks a limit; which limit, and its peak memory."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_memory_bytes(process.pid))
        if peak > limits.memory_bytes:
            return JobOutcome.OUT_OF_MEMORY, peak
        if output.overflowed:
            return JobOutcome.OUTPUT_LIMIT, peak
        if time.monotonic() - started > limits.deadline_s:
            return JobOutcome.TIMEOUT, peak
        if isinstance(process, ForkedChild):
            process.told_within(POLL_S)
        else:
            time.sleep(POLL_S)
    return None, peak


def tree_memory_bytes(pid: int) -> int:
    """Resident bytes of a process and all its descendants; 0 once it is gone."""
    total = 0
    for process in tree_of(pid):
        with contextlib.suppress(psutil.Error):  # it ended between the two calls
            total += process.memory_info().rss
    return total


def kill_job(pid: int, mark: str, job_dir: Path) -> None:
    """Kill the child's process group, and whatever left it but has its mark or directory."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    empty_looks = 0
    for _ in range(20):  # a forking process may be a step ahead: look until none is left
        survivors = belonging(mark, job_dir)
        empty_looks = 0 if survivors else empty_looks + 1
        if empty_looks == 2:
            return
        for process in survivors:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(survivors, timeout=0.5)


def _read_result(
    job_dir: Path, returncode: int, stopped: JobOutcome | None, limits: JobLimits
) -> JobResult:
    if stopped is not None:
        return JobResult(stopped, reason=_limit_reason(stopped, limits))
    path = job_dir / "result.json"
    if not path.is_file() or path.is_symlink():
        return _without_result(returncode)
    if path.stat().st_size > RESULT_BYTES:
        return JobResult(JobOutcome.OUTPUT_LIMIT, reason="its result is too large")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return JobResult(JobOutcome.FAILED, reason="its result is not JSON")
    # The code that ran could have written this file itself: nothing about its form is certain.
    if isinstance(result, dict) and isinstance(result.get("error"), dict):
        return _from_error(result["error"])
    if isinstance(result, dict) and isinstance(result.get("value"), dict):
        return JobResult(JobOutcome.OK, value=result["value"])
    return JobResult(JobOutcome.FAILED, reason="its result does not have the form of one")


def _from_error(error: Mapping[str, Any]) -> JobResult:
    place = error.get("place")
    where = ""
    if isinstance(place, dict) and place:
        where = f"{place.get('file')}:{place.get('line')}: "
    kind, message = str(error.get("type")), str(error.get("message"))
    if kind in ("exit", "forbidden"):
        outcome = JobOutcome.EXITED if kind == "exit" else JobOutcome.FAILED
        return JobResult(outcome, reason=message)
    outcome = JobOutcome.OUT_OF_MEMORY if kind == "MemoryError" else JobOutcome.FAILED
    first_line = (message.strip().splitlines() or [""])[0]
    return JobResult(
        outcome, reason=f"{where}{kind}: {first_line}", detail=str(error.get("traceback", ""))
    )


def _without_result(returncode: int) -> JobResult:
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return JobResult(JobOutcome.CRASHED, reason=f"the process was killed by {name}")
    reason = f"the process ended early, with exit code {returncode}"
    return JobResult(JobOutcome.EXITED, reason=reason)


def _limit_reason(outcome: JobOutcome, limits: JobLimits) -> str:
    if outcome is JobOutcome.TIMEOUT:
        return f"still running after {limits.deadline_s:g} s"
    if outcome is JobOutcome.OUT_OF_MEMORY:
        return f"it used more than {limits.memory_bytes / 1024**3:.1f} GiB of memory"
    return f"it printed more than {limits.output_bytes:,} bytes"


def _move_output(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and not path.is_symlink():
            shutil.move(path, target / path.name)


class OutputReader:
    """Drains the child's output in a thread, keeps its tail, notices when it is too much."""

    def __init__(self, stream: IO[bytes], limit_bytes: int) -> None:
        self._stream = stream
        self._limit = limit_bytes
        self._tail = b""
        self.overflowed = False
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        seen = 0
        while chunk := self._stream.read1(65536):  # type: ignore[attr-defined]
            seen += len(chunk)
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]
            if seen > self._limit:
                self.overflowed = True

    def finish(self) -> None:
        self._thread.join(timeout=2)
        self._stream.close()

    def tail(self) -> str:
        return self._tail.decode("utf-8", errors="replace")
