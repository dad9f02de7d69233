"""A child process that answers requests one after the other, and how its end is told.

Isolated as the children of `run` are. Requests and answers are lines of JSON on pipes of their own:
what the process prints means nothing. Whatever runs in there may forge an answer; deadlines, limits
and clocks are the parent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from warpwright.errors import SandboxError
from warpwright.sandbox.fork_server import ForkedChild
from warpwright.sandbox.job_processes import tree_of
from warpwright.sandbox.kinds import PERSISTENT, PROCESS_LOADS, PROCESSES
from warpwright.sandbox.run import OutputReader, child_environment, kill_job, start_child
from warpwright.types.worker_reply import (
    Answer,
    CandidateFailed,
    Death,
    Done,
    FailureKind,
    WorkerDied,
    WorkerLimits,
)

POLL_S = 0.05
LOOK_S = 0.25  # between two looks at the process tree
DISK_LOOK_S = 1.0


class PersistentChild:
    """One process of a kind (`kinds.PROCESSES`). Starting does not wait: `ready` does.

    `cores`: the only ones it may run on. `directory`: where its own empty directory is made.
    `prepare`: puts files into that directory before the process starts.
    """

    def __init__(
        self,
        kind: str,
        *,
        settings: Mapping[str, Any] | None = None,
        limits: WorkerLimits | None = None,
        cores: Iterable[int] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> None:
        self.kind = kind
        self.limits = limits or WorkerLimits()
        self.facts: Mapping[str, Any] = {}
        self.death: WorkerDied | None = None
        self.job_dir = Path(tempfile.mkdtemp(prefix="warpwright-", dir=directory)).resolve()
        self._mark = secrets.token_hex(8)
        self._number = 0
        self._buffer = b""
        self._started = time.monotonic()
        self._is_ready = False
        self._closed = False
        self._moves_to: frozenset[int] | None = None
        text = json.dumps({**(settings or {}), "cores": sorted(cores) if cores else None})
        try:
            (self.job_dir / "settings.json").write_text(text)
            if prepare is not None:
                prepare(self.job_dir)
            self._process = self._start(environment or {})
        except OSError as error:
            shutil.rmtree(self.job_dir, ignore_errors=True)
            raise SandboxError(f"cannot start a {kind} process: {error}") from error
        except SandboxError:
            shutil.rmtree(self.job_dir, ignore_errors=True)
            raise

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | ForkedChild:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        lifeline, self._lifeline = os.pipe()
        theirs = (requests, answers, lifeline)
        try:
            process = start_child(
                self.job_dir,
                child_environment(self.job_dir, self._mark, environment),
                entry=PERSISTENT,
                arguments=[self.kind],
                descriptors=theirs,
                loads=PROCESS_LOADS.get(self.kind, ()),
                modules=[PROCESSES[self.kind]],
            )
        except SandboxError:
            for descriptor in (self._requests, self._answers, self._lifeline):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        assert process.stdout is not None
        self._output = OutputReader(process.stdout, self.limits.output_bytes)
        return process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may be asked again: it was not buried, and its process has not ended."""
        return not self._buried and self._process.poll() is None

    @property
    def _buried(self) -> bool:
        return self.death is not None or self._closed

    def ready(self) -> Answer:
        """Wait until it has started; `facts` then holds what it said of itself."""
        if self._is_ready or self._buried:
            return self.death or Done(self.facts)
        answer = self._wait(0, self._started, self._started + self.limits.start_s)
        if isinstance(answer, Done):
            self._is_ready = True
            self.facts = answer.value
            return answer
        reason = answer.reason if answer.reason else str(answer)
        detail = answer.detail
        return self._bury(WorkerDied(Death.START, f"it did not start: {reason}", False, detail))

    def call(self, command: str, payload: Mapping[str, Any], *, deadline_s: float) -> Answer:
        """Send one request and wait for its answer, at most `deadline_s`. Never raises for what
        the process does; a dead one answers how it died."""
        started = self.ready()
        if not isinstance(started, Done):
            return started
        self._move()
        self._number += 1
        request = {"id": self._number, "command": command, "payload": dict(payload)}
        begun = time.monotonic()
        data = json.dumps(request).encode() + b"\n"
        # If it is dead or hangs, waiting for the answer finds out which.
        with contextlib.suppress(BrokenPipeError, TimeoutError):
            _write_all(self._requests, data, begun + deadline_s)
        return self._wait(self._number, begun, begun + deadline_s)

    def move_to(self, cores: Iterable[int]) -> None:
        """Let it run on these cores only, from its next request on."""
        self._moves_to = frozenset(cores)

    def _move(self) -> None:
        if self._moves_to is None:
            return
        threads: list[Path] = []
        # If it is dead, waiting for its answer finds out how.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            threads = list(Path(f"/proc/{self.pid}/task").iterdir())
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):  # the thread has just ended
                os.sched_setaffinity(int(thread.name), self._moves_to)
        self._moves_to = None

    def _wait(self, number: int, begun: float, deadline: float) -> Answer:
        """`begun`: before the request was sent, since the child may work while this process is not
        given a core; a clock read later would show less than the child's own times."""
        watch = _Watch(self)
        while True:
            line = self._line(min(POLL_S, max(0.0, deadline - time.monotonic())))
            wall_s = time.monotonic() - begun
            if line is not None:
                return self._read(line, number, wall_s)
            died = self._ended() or watch.broken_limit()
            if died is None and time.monotonic() >= deadline:
                died = WorkerDied(Death.TIMEOUT, f"no answer after {deadline - begun:.3g} s")
            if died is not None:
                return self._bury(died, wall_s)

    def _line(self, timeout_s: float) -> bytes | None:
        """The next line of the answers, if there is one within the time."""
        if b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], timeout_s)[0]:
                return None
            chunk = os.read(self._answers, 1 << 20)
            self._buffer += chunk
            if not chunk:
                time.sleep(min(timeout_s, 0.01))  # closed, but perhaps not yet dead
        line, separator, rest = self._buffer.partition(b"\n")
        if not separator:
            return None
        self._buffer = rest
        return line

    def _ended(self) -> WorkerDied | None:
        if len(self._buffer) > self.limits.answer_bytes:
            return WorkerDied(Death.BAD_ANSWER, "its answer is too long")
        code = self._process.poll()
        return None if code is None else _death(code)

    def _read(self, line: bytes, number: int, wall_s: float) -> Answer:
        try:
            answer = _decode(json.loads(line), number, wall_s)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            died = WorkerDied(Death.BAD_ANSWER, "its answer does not have the form of one")
            return self._bury(died, wall_s)
        if isinstance(answer, WorkerDied):
            return self._bury(answer, wall_s)
        if self._output.overflowed:
            return self._bury(_Watch(self).printed(), wall_s)
        return answer

    def _bury(self, died: WorkerDied, wall_s: float = 0.0) -> WorkerDied:
        """Remember how it died, kill what is left of it, and keep the tail of what it printed."""
        self.close()
        detail = died.detail or self._output.tail()
        self.death = WorkerDied(died.how, died.reason, died.blames_program, detail, wall_s)
        return self.death

    def interrupt(self) -> None:
        """Kill it from another thread: who waits for its answer is told that it died."""
        if self._buried:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it and everything it started, and remove its directory. May be called again."""
        if self._closed:
            return
        self._closed = True
        kill_job(self._process.pid, self._mark, self.job_dir)
        self._process.wait()
        self._output.finish()
        for descriptor in (self._requests, self._answers, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        shutil.rmtree(self.job_dir, ignore_errors=True)


class _Watch:
    """Looks at a child's limits now and then: memory, processes, threads, disk, output."""

    def __init__(self, child: PersistentChild) -> None:
        self._child = child
        now = time.monotonic()
        self._next_look = now + LOOK_S
        self._next_disk_look = now + DISK_LOOK_S

    def broken_limit(self) -> WorkerDied | None:
        now = time.monotonic()
        if self._child._output.overflowed:
            return self.printed()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            if (died := self._tree()) is not None:
                return died
        if now >= self._next_disk_look:
            self._next_disk_look = now + DISK_LOOK_S
            return self._disk()
        return None

    def printed(self) -> WorkerDied:
        limit = self._child.limits.output_bytes
        return WorkerDied(Death.OUTPUT_LIMIT, f"it printed more than {limit:,} bytes")

    def _tree(self) -> WorkerDied | None:
        limits = self._child.limits
        memory, processes, threads = _tree_use(self._child.pid)
        if memory > limits.memory_bytes:
            reason = f"it used more than {limits.memory_bytes / 1024**3:.1f} GiB of memory"
            return WorkerDied(Death.HOST_OUT_OF_MEMORY, reason)
        if processes > limits.processes:
            return WorkerDied(Death.PROCESS_LIMIT, f"it runs {processes} processes")
        if threads > limits.threads:
            return WorkerDied(Death.PROCESS_LIMIT, f"it runs {threads} threads")
        return None

    def _disk(self) -> WorkerDied | None:
        used = _directory_bytes(self._child.job_dir)
        if used <= self._child.limits.disk_bytes:
            return None
        return WorkerDied(Death.DISK_LIMIT, f"it wrote {used:,} bytes to its directory")


def _tree_use(pid: int) -> tuple[int, int, int]:
    """Resident bytes, processes and threads of a process and its descendants."""
    tree = tree_of(pid)
    memory = threads = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):  # it ended between the two calls
            memory += process.memory_info().rss
            threads += process.num_threads()
    return memory, len(tree), threads


def _directory_bytes(directory: Path) -> int:
    total = 0
    for root, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118
    return total


def _write_all(descriptor: int, data: bytes, deadline: float) -> None:
    """Write to a pipe whose reader may hang. Raises TimeoutError, BrokenPipeError."""
    os.set_blocking(descriptor, False)
    while data:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([], [descriptor], [], left)[1]:
            raise TimeoutError
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(descriptor, data) :]


def _death(code: int) -> WorkerDied:
    """How a process that ended by itself died."""
    if code >= 0:
        return WorkerDied(Death.EXIT, f"the process ended with exit code {code}")
    number = signal.Signals(-code)
    how = {signal.SIGABRT: Death.ABORT, signal.SIGKILL: Death.KILLED}.get(number, Death.CRASH)
    reason = f"the process was killed by {number.name}"
    return WorkerDied(how, reason, blames_program=how is not Death.KILLED)


def _decode(value: Any, number: int, wall_s: float) -> Answer:
    """An answer from its JSON; raises for what is none."""
    if value["id"] != number:
        raise ValueError("an answer to another request")
    if "done" in value:
        return Done(dict(value["done"]), wall_s)
    if "failed" in value:
        failed = value["failed"]
        return CandidateFailed(
            reason=str(failed["reason"]),
            where=str(failed.get("where", "")),
            kind=FailureKind(failed["kind"]),
            replace_worker=bool(failed.get("replace_worker", False)),
            detail=str(failed.get("detail", "")),
            wall_s=wall_s,
        )
    died = value["died"]
    return WorkerDied(
        Death(died["how"]),
        str(died["reason"]),
        bool(died["blames_program"]),
        str(died.get("detail", "")),
    )
