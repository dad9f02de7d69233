"""Taking turns on a card: where several runs share one, nobody uses it while another takes a time.

Each request to a process that works on the card holds a lock on a file for as long as it runs:
shared, or alone where times are taken. The lock goes with the process that holds it, so a killed
run leaves none behind. Before it each takes a second lock, the door, for a moment: who waits to be
alone holds the door, so that those who come later wait behind it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system, and no CUDA workers of ours either
    fcntl = None  # type: ignore[assignment]


@contextmanager
def turn(device: str, *, alone: bool) -> Iterator[None]:
    """Wait for a turn on a device and keep it for the block; the CPU needs none.

    Where the lock files cannot be opened (another user's, in a directory that forbids it), there
    are no turns: that costs quiet, not correctness.
    """
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    files = [None, None] if device == "cpu" or fcntl is None else _opened(card)
    door, lock = files
    try:
        if door is not None and lock is not None:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(door, fcntl.LOCK_UN)
        yield
    finally:
        for descriptor in files:
            if descriptor is not None:
                os.close(descriptor)  # which gives the lock back


def _opened(card: str) -> list[int | None]:
    """The door and the lock of a card, as open files that are made where there are none."""
    safe = "".join(letter if letter.isalnum() else "-" for letter in card)
    opened: list[int | None] = []
    for name in ("door", "card"):
        path = Path(tempfile.gettempdir()) / f"warpwright-{safe}.{name}"
        try:
            opened.append(_open(path))
        except OSError:
            opened.append(None)
    return opened


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        previous = os.umask(0)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        finally:
            os.umask(previous)
