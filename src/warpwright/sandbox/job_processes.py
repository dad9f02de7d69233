"""Which processes a job has: those below its child, and those that left it but can be told.

Linux says both in `/proc`, at a tenth of what it costs to ask psutil for every process of the
machine, which a running job is asked for twenty times a second. Elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil

from warpwright.sandbox.child_branch import JOB_MARK

CHUNK_BYTES = 256 * 1024
PROC = "/proc"


def tree_of(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty once it is gone."""
    try:
        root = psutil.Process(pid)
        if not _tells_children():
            return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
    tree = [root]
    for below in _below(pid):
        with contextlib.suppress(psutil.Error):  # it ended since it was listed
            tree.append(psutil.Process(below))
    return tree


@cache
def _tells_children() -> bool:
    """Whether this kernel lists a thread's children."""
    pid = os.getpid()
    return os.path.exists(f"{PROC}/{pid}/task/{pid}/children")  # noqa: PTH110


def _below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # the process, or one of its threads, has ended
        for thread in os.listdir(f"{PROC}/{pid}/task"):  # noqa: PTH208
            with open(f"{PROC}/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123
                found += map(int, listed.read().split())
    return found


def belonging(mark: str, job_dir: Path) -> list[psutil.Process]:
    """All processes with the job's mark in their environment, or at work in its directory.

    Each fact alone: a process that is just starting another program may hide one of them.
    """
    if not os.path.isdir(f"{PROC}/{os.getpid()}"):  # noqa: PTH112
        return [
            process
            for process in psutil.process_iter()
            if _is_said_to_belong(process, mark, job_dir)
        ]
    variable, directory = f"{JOB_MARK}={mark}".encode(), str(job_dir)
    found: list[psutil.Process] = []
    for entry in os.listdir(PROC):  # noqa: PTH208
        if entry.isdigit() and _belongs(f"{PROC}/{entry}", variable, directory):
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(int(entry)))
    return found


def _belongs(process: str, variable: bytes, directory: str) -> bool:
    """By its folder in `/proc`. One that has ended, but is waited for, has neither fact."""
    with contextlib.suppress(OSError):
        if os.readlink(f"{process}/cwd") == directory:  # noqa: PTH115
            return True
    with contextlib.suppress(OSError):
        return variable in _environment(process).split(b"\0")
    return False


def _environment(process: str) -> bytes:
    read = b""
    descriptor = os.open(f"{process}/environ", os.O_RDONLY)
    try:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            read += chunk
    finally:
        os.close(descriptor)
    return read


def _is_said_to_belong(process: psutil.Process, mark: str, job_dir: Path) -> bool:
    """The same where there is no `/proc`."""
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
    with contextlib.suppress(psutil.Error, OSError):
        if process.environ().get(JOB_MARK) == mark:
            return True
    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()) == job_dir
    return False
