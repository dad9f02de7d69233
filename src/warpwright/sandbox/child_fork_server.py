"""Inside the fork server: load torch and Triton, then fork a child for each request that comes.

For each job two forks: a keeper, which waits for the job's child and tells how it ended, and the
child. So the fork server waits for nobody, and requests are served one after the other at once.

Triton is another one where its interpreter is asked for, from the moment that it is loaded. So
the fork server itself loads torch alone, and passes each request to a branch: a fork of it, made
when it is first needed, that has loaded Triton as this request wants it, and what else it asks for.
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
SPARE_DESCRIPTOR = 200  # above all that the fork server has open
HIGHEST_DESCRIPTOR = 4096


# What nearly every job's child loads. The second is what torch makes of a tensor without data; it
# brings sympy, which takes a third of a second.
FOR_ALL = ("torch", "torch.fx.experimental.symbolic_shapes")
# Triton itself loads the second when it meets the first tensor of a launch.
IN_A_BRANCH = ("triton", "triton.experimental.gluon.nvidia.hopper")
BRANCH_VARIABLE = "TRITON_INTERPRET"

Request = tuple[bytes, list[int]]
Branch = tuple[str, tuple[str, ...]]  # the variable's value, and what is loaded besides


def main(descriptor: int) -> None:
    """Serve requests from the socket `descriptor` until its other end is closed."""
    requests = socket.socket(fileno=descriptor)
    _load(FOR_ALL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers and branches are nobody's to wait for
    branches: dict[Branch, socket.socket] = {}
    while (request := _receive(requests)) is not None:
        message, descriptors = request
        told = json.loads(message)
        wanted = (told["environment"].get(BRANCH_VARIABLE, ""), tuple(told["loads"]))
        if wanted not in branches:
            not_its_own = [requests.fileno(), *descriptors]
            not_its_own += [other.fileno() for other in branches.values()]
            branches[wanted] = _new_branch(wanted, not_its_own)
        try:
            socket.send_fds(branches[wanted], [message], descriptors)
        except OSError:  # it was killed: who asked sees that no child came
            branches.pop(wanted).close()
        for passed in descriptors:
            os.close(passed)


def _load(modules: Iterable[str]) -> None:
    """Load what there is of these modules; a job that needs another fails by itself."""
    for module in modules:
        with contextlib.suppress(Exception):  # commands that need no torch run without it
            importlib.import_module(module)
    gc.freeze()  # a collection in a child need not touch, and so copy, what is loaded


def _receive(requests: socket.socket) -> Request | None:
    """The next request and its descriptors; None where no more will come."""
    try:
        message, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES + 1, MAX_DESCRIPTORS)
    except OSError:
        return None
    return (message, descriptors) if message else None


def _new_branch(wanted: Branch, not_its_own: Iterable[int]) -> socket.socket:
    """Fork a branch, and let it load what it is for; where it takes requests."""
    interpreted, others = wanted
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        for descriptor in (ours.fileno(), *not_its_own):
            os.close(descriptor)
        if interpreted:
            os.environ[BRANCH_VARIABLE] = interpreted
        _load((*IN_A_BRANCH, *others))
        _fork_for_each(theirs)
    theirs.close()
    return ours


def _fork_for_each(requests: socket.socket) -> NoReturn:
    """Fork a child for each request, until the fork server is gone."""
    while (request := _receive(requests)) is not None:
        message, descriptors = request
        if os.fork() == 0:
            requests.close()
            _keep(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    os._exit(0)


def _keep(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """The keeper: fork the job's child, wait for it, tell its exit code. Does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _become_child(request, descriptors)
    output, status, *others = descriptors
    for descriptor in (output, *others):
        os.close(descriptor)
    with contextlib.suppress(OSError):  # no pidfd in this kernel: the job has its own limits
        _end_with_reader(pid, status)
    _, ended = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # the parent is gone
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _end_with_reader(pid: int, status: int) -> None:
    """Wait for the job's child; kill its process group where nobody is left to be told of its end.

    Without that, the jobs of a main process that was killed would run on to their deadlines.
    """
    child = os.pidfd_open(pid)
    watched = select.poll()
    watched.register(child, select.POLLIN)
    watched.register(status, 0)  # POLLERR comes unasked: the pipe has no reader
    ended = {descriptor for descriptor, _ in watched.poll()}
    os.close(child)
    if child in ended:
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet
        os.kill(pid, signal.SIGKILL)


def _become_child(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take the place of a newly started child. Does not return."""
    try:
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
