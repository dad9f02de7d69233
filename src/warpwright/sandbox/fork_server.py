"""Children that have torch and Triton loaded before they start: forks of one process.

Loading them takes one and a half seconds of processor time, and an answer runs about a dozen
jobs. The fork server loads them once; a job's child is a fork of it, with an environment, a
directory, a process group and output of its own, as a newly started one has. It shares nothing
that a job could change: memory is copied on write, and all descriptors are closed. The fork server
itself never runs foreign code. Only on Linux; elsewhere, and where it cannot be started, children
are started anew.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from warpwright.sandbox.child_branch import JOB_MARK, MARK_BYTES, REQUEST_BYTES
from warpwright.sandbox.kinds import MAIN

MOST_KEPT = 2  # one that sees the GPU and one that does not are often needed by turns
START_S = 60.0  # until torch is loaded, on a busy machine


class ForkServerError(Exception):
    """The fork server could not be started, or is gone."""


class ForkedChild:
    """A job's child, with the part of `subprocess.Popen` that the runner uses.

    It is a child of the fork server's, so its end is told through a pipe: first the pid, then the
    exit code as `os.waitstatus_to_exitcode` gives it.
    """

    def __init__(self, stdout: IO[bytes], status: int, deadline_s: float) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._status = status
        self._told = b""
        self.pid = self._read_pid(deadline_s)

    def _read_pid(self, deadline_s: float) -> int:
        ends = time.monotonic() + deadline_s
        while b"\n" not in self._told:  # its end may be told in the same breath
            heard = self._read(max(0.0, ends - time.monotonic()))
            if b"\n" not in self._told and (not heard or self.returncode is not None):
                os.close(self._status)
                raise ForkServerError("no child was started")
        return int(self._told.split(b"\n")[0])

    def _read(self, timeout_s: float) -> bool:
        """Take in what the fork server has told; False where nothing came in time."""
        if not select.select([self._status], [], [], timeout_s)[0]:
            return False
        told = os.read(self._status, 64)
        self._told += told
        lines = self._told.split(b"\n")
        if len(lines) > 2:
            self.returncode = int(lines[1])
        elif not told:  # the branch that it is a child of was killed
            self.returncode = -signal.SIGKILL
        return True

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            self._read(0)
        return self.returncode

    def told_within(self, timeout_s: float) -> bool:
        """Wait so long for its end, if it comes; whether it came."""
        return self.returncode is not None or self._read(timeout_s)

    def wait(self) -> int:
        """Wait for its end, and let go of it."""
        while self.returncode is None:
            self._read(1.0)
        os.close(self._status)
        return self.returncode


class ForkServer:
    """One forking process for this process and these variables of its environment."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = os.getpid()
        self._socket = ours
        path = [entry for entry in sys.path if entry]
        code = (
            f"import sys; sys.path[:] = {path!r}\n"
            f"from warpwright.sandbox.child_fork_server import main; main({theirs.fileno()})"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", code],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ForkServerError(str(error)) from error
        finally:
            theirs.close()

    @property
    def usable(self) -> bool:
        """Whether it runs, and belongs to this process rather than to one that forked it."""
        return os.getpid() == self._owner and self._process.poll() is None

    def start(
        self,
        job_dir: Path,
        environment: Mapping[str, str],
        *,
        entry: str = MAIN,
        arguments: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        loads: Sequence[str] = (),
        modules: Sequence[str] = (),
    ) -> ForkedChild:
        """A new child in `job_dir`, which calls `main` of the module `entry`.

        `main` gets the arguments, and then the numbers that the descriptors have in the child.
        `loads` names modules that are loaded before it starts, as torch and Triton are, in a
        process apart from that of children that do without; `modules` are ours, small ones, that
        later children of other kinds have loaded as well.
        Raises ForkServerError where the fork server does not answer.
        """
        read_output, write_output = os.pipe()
        read_status, write_status = os.pipe()
        request = {
            "directory": str(job_dir),
            "environment": dict(environment),
            "entry": entry,
            "arguments": list(arguments),
            "loads": list(loads),
            "modules": [entry, *modules],
        }
        try:
            self._send(request, [write_output, write_status, *descriptors])
        except ForkServerError:
            os.close(read_output)
            os.close(read_status)
            raise
        finally:
            os.close(write_output)
            os.close(write_status)
        stdout = os.fdopen(read_output, "rb")
        try:
            return ForkedChild(stdout, read_status, START_S)
        except ForkServerError:
            stdout.close()
            raise

    def load_ahead(
        self, environment: Mapping[str, str], loads: Sequence[str], modules: Sequence[str]
    ) -> None:
        """Let it load what children will ask for, and do not wait for that.

        The arguments are those of `start`. Raises ForkServerError where it is gone.
        """
        self._send(
            {
                "environment": dict(environment),
                "loads": list(loads),
                "modules": list(modules),
                "ahead": True,
            },
            [],
        )

    def _send(self, request: Mapping[str, object], descriptors: Sequence[int]) -> None:
        """Raises ForkServerError where it cannot be sent."""
        message = json.dumps(request).encode()
        if len(message) > REQUEST_BYTES:
            raise ForkServerError("the environment is too large")
        try:
            socket.send_fds(self._socket, [message], list(descriptors))
        except OSError as error:
            raise ForkServerError(str(error)) from error

    def close(self) -> None:
        """Let it end; children that it started are not touched."""
        self._socket.close()
        if os.getpid() == self._owner:
            self._process.wait()


class ForkServers:
    """The fork servers of this process, each started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], ForkServer] = {}
        self._failed = False

    def prepare(self, environment: Mapping[str, str], fixed: Sequence[str]) -> ForkServer | None:
        """The fork server for such an environment; None where there can be none.

        `fixed` names the variables that count while torch is loaded: where their values differ
        from those of the ones that are there, there will be one more, up to `MOST_KEPT`.
        """
        if not sys.platform.startswith("linux"):
            return None
        wanted = (*((name, environment.get(name)) for name in fixed), *sys.path)
        with self._lock:
            fork_server = self._kept.pop(wanted, None)
            if fork_server is not None and not fork_server.usable:
                fork_server.close()
                fork_server = None
            if fork_server is None:
                fork_server = self._start({n: environment[n] for n in fixed if n in environment})
            if fork_server is not None:
                self._kept[wanted] = fork_server  # the last that was used comes last
            return fork_server

    def _start(self, base: Mapping[str, str]) -> ForkServer | None:
        if self._failed:
            return None
        while len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        try:
            return ForkServer({**base, **MARKLESS}, Path("/"))
        except ForkServerError:
            self._failed = True
            return None

    @property
    def last_used(self) -> ForkServer | None:
        return next(reversed(self._kept.values()), None)

    def close(self) -> None:
        """Let all of them end."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()


# A place for each child's own mark, which is written over it: others find a child by it.
MARKLESS = {JOB_MARK: "0" * MARK_BYTES}
fork_servers = ForkServers()
