"""Inside a child: what foreign code may not do while it runs.

This is a fence against accidents and lazy tricks, not against a determined attacker: code in
the same process can undo it. The parent relies on the process boundary and on comparing
arrays itself; see `docs/threat-model.md`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

# Audit events of actions that no kernel program needs: starting processes, talking to the
# network, killing others.
FORBIDDEN_EVENTS = {
    "os.fork": "start a process (fork)",
    "os.forkpty": "start a process (forkpty)",
    "os.posix_spawn": "start a process (posix_spawn)",
    "os.spawn": "start a process (spawn)",
    "os.exec": "replace the process (exec)",
    "os.system": "start a shell (os.system)",
    "pty.spawn": "start a process (pty.spawn)",
    "subprocess.Popen": "start a process (subprocess)",
    "socket.connect": "open a network connection",
    "socket.bind": "open a network port",
    "os.kill": "signal a process",
    "os.killpg": "signal a process group",
}
# Of these, the two that start a program by name: a worker on a GPU allows Triton's own tools.
STARTS = {"subprocess.Popen", "os.posix_spawn"}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ForbiddenActionError(BaseException):
    """Foreign code tried something that the sandbox refuses.

    Not an `Exception`, so that a program's `except Exception` does not swallow it.
    """


class _Guard:
    def __init__(self, job_dir: Path) -> None:
        self.active = False
        self.tripped: str | None = None
        self.directories = {str(job_dir.resolve())}
        self.tools: frozenset[str] = frozenset()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        action = FORBIDDEN_EVENTS.get(event)
        if event in STARTS and self._is_tool(args[0]):
            return
        if event in STARTS and self.tools:  # where some may be started, tell which was not
            action = f"{action}: {args[0]!s}"
        if action is None and event == "open" and self._writes_outside(args):
            action = f"write a file outside its directory ({args[0]!s})"
        if action is not None:
            self.tripped = self.tripped or action
            raise ForbiddenActionError(action)

    def _writes_outside(self, args: tuple[Any, ...]) -> bool:
        path, _, flags = args
        if not isinstance(flags, int) or not flags & WRITE_FLAGS:
            return False
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False  # an open descriptor
        full = os.path.realpath(os.fsdecode(path))
        if full == os.devnull:
            return False
        full += os.sep  # the directory itself counts: a nameless temporary file opens just that
        return not any(full.startswith(directory + os.sep) for directory in self.directories)

    def _is_tool(self, program: Any) -> bool:
        if not self.tools or not isinstance(program, (str, bytes, os.PathLike)):
            return False
        found = shutil.which(os.fsdecode(program))
        # (what does not exist cannot be started: let the caller find out)
        return found is None or os.path.realpath(found) in self.tools


_guard: _Guard | None = None


def install(job_dir: Path) -> None:
    """Install the audit hook (once per process; it cannot be removed), switched off."""
    global _guard
    if _guard is None:
        _guard = _Guard(job_dir)
        sys.addaudithook(_guard)


def allow_tools(programs: Iterable[str]) -> None:
    """Let foreign code start exactly these programs (by resolved path), as Triton does."""
    assert _guard is not None
    paths = (shutil.which(program) for program in programs)
    _guard.tools = frozenset(os.path.realpath(path) for path in paths if path is not None)


def allow_directories(job_dir: Path, *others: Path) -> None:
    """From now on foreign code may write in these directories and no other."""
    assert _guard is not None
    _guard.directories = {str(directory.resolve()) for directory in (job_dir, *others)}


def forgive() -> None:
    """Forget a forbidden action: the program that tried it is gone."""
    if _guard is not None:
        _guard.tripped = None


def forbid_to_the_end() -> None:
    """Forbid the actions above for as long as the process lives: what foreign code registered
    to run at the end must not be free."""
    if _guard is not None:
        _guard.active = True


@contextmanager
def foreign_code() -> Iterator[None]:
    """Forbid the actions above while foreign code runs.

    Raises `ForbiddenActionError` at the end too when the code caught the first one.
    """
    if _guard is None:
        raise RuntimeError("child_guard.install was not called")
    before, _guard.active = _guard.active, True
    try:
        yield
    finally:
        _guard.active = before
    if _guard.tripped:
        raise ForbiddenActionError(_guard.tripped)


def cut_network() -> bool:
    """Move this process into an empty network namespace, where the kernel permits it."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    return bool(libc.unshare(flags) == 0)


def set_limits(file_bytes: int) -> None:
    """No core dumps, no file larger than `file_bytes`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
