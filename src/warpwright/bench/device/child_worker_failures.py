"""Inside a worker: from an exception to what it says of the program and of the worker."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import Any

from triton.runtime.errors import OutOfResources

from warpwright.bench.device.child_cases import is_foreign
from warpwright.bench.device.child_worker_device import Device, is_out_of_memory
from warpwright.sandbox import child_guard
from warpwright.sandbox.child_tensors import UnsupportedValueError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REASON_CHARACTERS = 500
DETAIL_CHARACTERS = 4000
LEAK_BYTES = 2 * 1024**3  # more than this missing after clean-up: the worker is replaced
FOREIGN_FILES = {"program.py", "problem.py"}


class TamperedError(Exception):
    """A library is not what it was before the program came."""


class ThreadError(Exception):
    """A thread is left that was not there before."""


class OutputError(Exception):
    """An output is no plain tensor on the device."""


class UnsupportedError(Exception):
    """The request cannot be made of this program or on this device."""


OWN_KINDS: tuple[tuple[type[BaseException], str, bool], ...] = (
    # exception, kind, whether the worker is spoiled
    (child_guard.ForbiddenActionError, "forbidden action", True),
    (TamperedError, "changed a library", True),
    (ThreadError, "started a thread", True),
    (OutputError, "bad output", False),
    (UnsupportedValueError, "bad output", False),
    (UnsupportedError, "unsupported", False),
    (OutOfResources, "out of GPU resources", False),
)


def explain(error: BaseException, device: Device, job_dir: Path) -> dict[str, Any]:
    """The `failed` or `died` part of an answer. Asks the device whether it is still well."""
    detail = "".join(traceback.format_exception(error))[-DETAIL_CHARACTERS:]
    detail = detail.replace(f"{job_dir}/", "")
    broken = device.broken()
    if broken is not None:
        line = _line(error)
        where = f"line {line}: " if line is not None else ""
        reason = f"{where}{broken}"[:REASON_CHARACTERS]
        return _died("sticky CUDA error", reason, True, detail)
    kind, spoiled = _kind(error)
    if kind is None:
        full = isinstance(error, OSError) and error.errno in DISK_ERRORS
        reason = "the disk is full" if full else _first_line(error)
        return _died("disk full" if full else "the worker's own code failed", reason, False, detail)
    line = _line(error)
    return {
        "failed": {
            "kind": kind,
            "reason": _first_line(error),
            "where": f"line {line}" if line is not None else "",
            "replace_worker": spoiled,
            "detail": detail,
        },
        # What holds the memory that is missing may be the program itself.
        "unload": spoiled or kind in ("out of GPU memory", "out of host memory"),
    }


def _died(how: str, reason: str, blames_program: bool, detail: str) -> dict[str, Any]:
    return {
        "died": {"how": how, "reason": reason, "blames_program": blames_program, "detail": detail}
    }


def _kind(error: BaseException) -> tuple[str | None, bool]:
    """The failure's kind (None: not the program's doing), and whether the worker is spoiled."""
    for owner, kind, spoiled in OWN_KINDS:
        if isinstance(error, owner):
            return kind, spoiled
    # Memory that runs out while inputs are made beside a program: the program may have taken it.
    if is_out_of_memory(error):
        return "out of GPU memory", False
    if isinstance(error, MemoryError):
        return "out of host memory", False
    if not is_foreign(error):
        return None, True
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "called exit", True
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return "disk full", True
    return "raised", False


def _first_line(error: BaseException) -> str:
    if isinstance(error, child_guard.ForbiddenActionError):
        return f"the code tried to {error}"
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return f"the code called exit ({error!r})"
    text = (str(error).strip().splitlines() or [""])[0]
    own = isinstance(error, (TamperedError, ThreadError, OutputError, UnsupportedError))
    own = own or isinstance(error, UnsupportedValueError)
    return (text if own else f"{type(error).__name__}: {text}")[:REASON_CHARACTERS]


def _line(error: BaseException) -> int | None:
    """The line of the program where the exception passed, the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if Path(frame.filename).name in FOREIGN_FILES]
    return places[-1].lineno if places else None


def let_go(error: BaseException) -> None:
    """Release what the frames of an exception hold: outputs and inputs, gigabytes perhaps."""
    seen: BaseException | None = error
    while seen is not None:
        if seen.__traceback__ is not None:
            traceback.clear_frames(seen.__traceback__)
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__


def is_full(device: Device) -> bool:
    """Whether much of the GPU's memory is missing although nothing should hold it."""
    return device.leaked_bytes() > LEAK_BYTES
