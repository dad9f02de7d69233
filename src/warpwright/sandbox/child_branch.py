"""A branch of the fork server: fork each job's child, and tell how it ended.

One fork a job: of a process that holds torch each takes ten milliseconds of processor time. So the
branch itself waits for its children, beside the requests, and serves both as they come.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

JOB_MARK = "WARPWRIGHT_JOB"
MARK_BYTES = 16
REQUEST_BYTES = 64 * 1024
MAX_DESCRIPTORS = 8
FIRST_DESCRIPTOR = 3  # a child's own descriptors are numbered from here on
SPARE_DESCRIPTOR = 500  # above all that a branch has open: one for each child, and a few
HIGHEST_DESCRIPTOR = 4096


Request = tuple[bytes, list[int]]


def fork_for_each(requests: socket.socket) -> NoReturn:
    """Fork a child for each request until the fork server is gone and the last child has ended."""
    _Branch(requests).serve()
    os._exit(0)


def load(modules: Iterable[str]) -> None:
    """Load what there is of these modules; a job that needs another fails by itself."""
    missing = [module for module in modules if module not in sys.modules]
    for module in missing:
        with contextlib.suppress(Exception):  # commands that need no torch run without it
            importlib.import_module(module)
    if missing:
        gc.freeze()  # a collection in a child need not touch, and so copy, what is loaded


def receive(requests: socket.socket) -> Request | None:
    """The next request and its descriptors; None where no more will come."""
    try:
        message, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES + 1, MAX_DESCRIPTORS)
    except OSError:
        return None
    return (message, descriptors) if message else None


class _Branch:
    """Its children, each with the pipe on which its end is told."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._pipes: dict[int, int] = {}  # pid → descriptor
        self._events = select.poll()
        self._events.register(requests, select.POLLIN)
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        self._events.register(self._woken, select.POLLIN)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # (what is ignored wakes nobody)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        asked = True
        while asked or self._pipes:
            for descriptor, _ in self._events.poll():
                if descriptor == self._requests.fileno():
                    asked = self._answer_next()
                elif descriptor == self._woken:
                    os.read(self._woken, 4096)
                else:
                    self._end_without_reader(descriptor)
            self._tell_ends()

    def _answer_next(self) -> bool:
        """Fork the child of the next request, or only load what one will need; False where no more
        will come."""
        request = receive(self._requests)
        if request is None:
            self._events.unregister(self._requests)
            return False
        message, descriptors = request
        told = json.loads(message)
        load(told["modules"])
        if told.get("ahead"):
            return True
        pid = os.fork()
        if pid == 0:
            _become_child(told, descriptors)
        output, status, *others = descriptors
        for descriptor in (output, *others):
            os.close(descriptor)
        self._pipes[pid] = status
        self._events.register(status, 0)  # POLLERR comes unasked: the pipe has no reader
        return True

    def _end_without_reader(self, status: int) -> None:
        """Kill a child's process group where nobody is left to be told of its end.

        Without that, the jobs of a main process that was killed would run on to their deadlines.
        """
        with contextlib.suppress(KeyError):  # it was told just now
            self._events.unregister(status)
        for pid in [pid for pid, pipe in self._pipes.items() if pipe == status]:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not made its group yet
                os.kill(pid, signal.SIGKILL)

    def _tell_ends(self) -> None:
        """Tell the exit codes of the children that have ended."""
        while self._pipes:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            status = self._pipes.pop(pid)
            with contextlib.suppress(KeyError):  # its reader was gone before
                self._events.unregister(status)
            with contextlib.suppress(OSError):  # the parent is gone
                os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
            os.close(status)


def _become_child(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take the place of a newly started child. Does not return."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(request["directory"])
        _set_environment(request["environment"])
        output, status, *others = descriptors
        _connect(output)
        os.write(status, f"{os.getpid()}\n".encode())
        own = _renumbered(others)
        random.seed()
        entry = importlib.import_module(request["entry"])
        entry.main(*request["arguments"], *own)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _renumbered(descriptors: Sequence[int]) -> list[int]:
    """Close every descriptor but these and the standard ones, and number these from 3 on."""
    spare = [SPARE_DESCRIPTOR + index for index in range(len(descriptors))]
    for old, new in zip(descriptors, spare, strict=True):
        os.dup2(old, new)
    os.closerange(FIRST_DESCRIPTOR, SPARE_DESCRIPTOR)
    own = [FIRST_DESCRIPTOR + index for index in range(len(descriptors))]
    for old, new in zip(spare, own, strict=True):
        os.dup2(old, new)
    os.closerange(SPARE_DESCRIPTOR, HIGHEST_DESCRIPTOR)
    return own


def _set_environment(environment: Mapping[str, str]) -> None:
    _write_mark(environment.get(JOB_MARK, ""))
    os.environ.clear()
    os.environ.update(environment)


def _write_mark(mark: str) -> None:
    """Put the job's mark where `/proc/PID/environ` shows it: over the fork server's own.

    Setting a variable makes a new string elsewhere; what the kernel shows of a process is the
    memory that it was started with.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(JOB_MARK.encode())
    if place and len(mark) == MARK_BYTES:
        ctypes.memmove(place, mark.encode(), MARK_BYTES)


def _connect(output: int) -> None:
    """Standard input from nowhere, standard output and error to the job's pipe."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
