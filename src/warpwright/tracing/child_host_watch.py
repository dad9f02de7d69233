"""Inside a tracing child: what a program's host code does, whatever way it is written.

Every ATen operator that runs is seen where torch dispatches it, and every file, process, thread
and text that is run as code by an audit hook, which code cannot take off. Only what a line of the
program started counts: torch imports and opens things of its own.
"""

from __future__ import annotations

import _thread
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

COMPUTES, COPIES = "computes", "copies"
# Operators whose result is some tensor's elements in another order, number or type.
COPYING = frozenset(
    {
        "clone", "copy", "copy_", "_to_copy", "constant_pad_nd", "cat", "stack", "contiguous",
        "repeat", "flip", "roll", "_reshape_copy", "permute_copy", "view_copy",
        "transpose_copy", "expand_copy", "t_copy", "slice_copy",
    }
)  # fmt: skip
PADDING = ("reflection_pad", "replication_pad")
# Operators that fill memory, or ask for a number of a tensor, and work on none.
FILLING = frozenset(
    {
        "fill_", "zero_", "fill", "zero", "zeros_like", "ones_like", "full_like", "empty_like",
        "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided", "detach",
        "alias", "lift_fresh", "lift_fresh_copy", "lift", "detach_", "set_", "resize_",
        "_local_scalar_dense", "is_same_size", "record_stream", "is_pinned", "_pin_memory", "equal",
    }
)  # fmt: skip
THREAD = "a thread"  # no event of Python's before 3.12
# Audit events of what a kernel program has no use for, with what they do.
# Those of `DIRECT` count where the program itself does it: named tuples and data classes do too.
DIRECT = {
    "exec": "run a text or code object as code",
    "compile": "compile a text to code",
    "sys._getframe": "look at its callers",
}
THROUGH_LIBRARY = {
    "open": "open a file",
    THREAD: "start a thread",
    "subprocess.Popen": "start a process",
    "os.system": "start a shell",
    "os.fork": "start a process",
    "os.posix_spawn": "start a process",
    "socket.__new__": "open a socket",
    "ctypes.dlopen": "load native code",
    "ctypes.dlsym": "call native code",
    "sys._current_frames": "look at its callers",
    "sys.settrace": "trace other code",
    "sys.setprofile": "trace other code",
    "gc.get_objects": "look for objects of others",
    "gc.get_referrers": "look for objects of others",
    "gc.get_referents": "look for objects of others",
    "sys.addaudithook": "watch the process",
}
THREADS = (
    (threading, "_start_new_thread"),
    (threading, "_start_joinable_thread"),
    (_thread, "start_new_thread"),
    (_thread, "start_joinable_thread"),
)
_LIBRARY = sysconfig.get_paths()["stdlib"]
# What opens files by itself: imports, which are judged as such, and what shows a line of source.
OPENING = ("<frozen importlib", f"{_LIBRARY}/linecache.py")


class HostWatch(TorchDispatchMode):  # type: ignore[misc]
    """Notes operators by (name, kind, line), and actions by (what, line), while `recording`."""

    def __init__(self, job_dir: Path) -> None:
        super().__init__()
        self._program = f"{job_dir}/program.py"
        self.recording = False
        self._looking = False
        self.operators: dict[tuple[str, str, int], int] = {}
        self.actions: dict[tuple[str, int], None] = {}

    def install(self) -> None:
        """See actions from now on, until the process ends."""
        sys.addaudithook(self._audit)
        for module, name in THREADS:
            start = getattr(module, name, None)
            if start is not None:
                setattr(module, name, self._telling(start))

    def _telling(self, start: Callable[..., Any]) -> Callable[..., Any]:
        def started(*args: Any, **kwargs: Any) -> Any:
            self._audit(THREAD, ())
            return start(*args, **kwargs)

        return started

    def told(self) -> dict[str, Any]:
        """All of it, as JSON data."""
        return {
            "operators": [
                {"name": name, "kind": kind, "line": line, "count": count}
                for (name, kind, line), count in self.operators.items()
            ],
            "actions": [{"what": what, "line": line} for what, line in self.actions],
        }

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.recording:
            kind = kind_of(func, args, kwargs or {})
            line = None if kind is None else self._line()
            if kind is not None and line is not None:
                key = (str(func).rpartition(".")[0], kind, line)
                self.operators[key] = self.operators.get(key, 0) + 1
        return out

    def _line(self) -> int | None:
        """The line of the program that is running, of the innermost call."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self._program:
                return frame.f_lineno
            frame = frame.f_back
        return None

    def _audit(self, event: str, _: tuple[Any, ...]) -> None:
        direct = DIRECT.get(event)
        what = direct or THROUGH_LIBRARY.get(event)
        if what is None or not self.recording or self._looking:
            return
        self._looking = True  # to look at frames is such an event itself
        frame: FrameType | None = sys._getframe(1)
        self._looking = False
        if event == THREAD and frame is not None:
            frame = frame.f_back  # past the function that told of it
        while direct is None and frame is not None and _is_library(frame.f_code.co_filename):
            if frame.f_code.co_filename.startswith(OPENING):
                return
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename == self._program:
            self.actions[what, frame.f_lineno] = None


def kind_of(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Whether an operator computes on tensors or copies one; None for views, new memory, and
    arithmetic on a single number."""
    space, name = str(func).split(".")[:2]
    if space == "prim" or name in FILLING or name.startswith(("empty", "_empty")):
        return None
    given = [value for value in _flat([*args, *kwargs.values()]) if isinstance(value, torch.Tensor)]
    if all(tensor.numel() <= 1 for tensor in given):
        return None
    if name in COPYING or name.startswith(PADDING):
        return COPIES
    returns = func._schema.returns
    views = bool(returns) and all(
        result.alias_info is not None and not result.alias_info.is_write for result in returns
    )
    return None if views else COMPUTES


def _flat(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += _flat(value) if isinstance(value, (list, tuple)) else [value]
    return found


def _is_library(filename: str) -> bool:
    """Whether code is the standard library's: what it does, its caller asked for."""
    return filename.startswith("<frozen") or (
        filename.startswith(_LIBRARY) and "site-packages" not in filename
    )
