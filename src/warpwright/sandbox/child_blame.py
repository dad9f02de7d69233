"""Inside a child: did the program fail, or one of the tools that stand in for a GPU here?

A program is called wrong only by evidence that leaves our own tools out as the cause. An
exception is the program's where its own code, or a library that it called, raised it. It may be a
tool's where it was raised inside a stand-in or inside Triton's interpreter without being meant,
where something was asked of a stand-in that it does not have, or where this machine's lack of a
GPU shows.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

OURS = str(Path(__file__).resolve().parents[1])
# Parts of libraries that are other than on the target's machine: no GPU is there, and kernels are
# interpreted.
INSTEAD_OF_A_GPU = (
    "triton/runtime/interpreter.py",
    "triton/runtime/driver.py",
    "triton/backends/",
    "torch/cuda/",
    "torch/accelerator/",
)
INSTEAD_OF_A_GPU_MODULES = (
    "warpwright", "triton.runtime.interpreter", "triton.runtime.driver", "triton.backends",
    "torch.cuda", "torch.accelerator", "torch._C",
)  # fmt: skip
NO_GPU_WORDS = (
    "'meta' backend", "meta tensor", "not compiled with CUDA", "NVIDIA driver", "active drivers",
    "CUDA driver",
)  # fmt: skip
DISPATCH = "__torch_function__"  # where a stand-in hands a call on to torch
OURS_BY_NAME = frozenset({
    "ToolError", "UnknownHardwareError", "DataDependentError", "UnsupportedInInterpreterError",
})  # fmt: skip


class ToolError(Exception):
    """A stand-in of ours or Triton's interpreter may be what failed, not the program."""


def is_of_a_tool(error: BaseException, job_dir: Path) -> bool:
    """Whether a tool of ours cannot be left out as the cause of `error`.

    `job_dir` holds the foreign files. What the program made of a first error counts as well: one
    that catches a tool's error and raises its own is no better known.
    """
    return any(_is_of_a_tool(each, job_dir) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def names_a_tool(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says by itself that a tool of ours is behind it."""
    return any(_names_a_tool(each) for each in _chain(error))


def _names_a_tool(error: BaseException) -> bool:
    if type(error).__name__ in OURS_BY_NAME or any(w in str(error) for w in NO_GPU_WORDS):
        return True
    return isinstance(error, AttributeError) and _stands_in(getattr(error, "obj", None))


def _is_of_a_tool(error: BaseException, job_dir: Path) -> bool:
    if _names_a_tool(error):
        return True
    if isinstance(error, SyntaxError):
        return Path(error.filename or "").parent != job_dir
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name != DISPATCH and not frame.filename.endswith("torch/overrides.py")
    ]
    if not frames or not any(Path(frame.filename).parent == job_dir for frame in frames):
        return True  # none of the program's code was running
    return _raised_by_a_tool(frames[-1])


def _stands_in(owner: object) -> bool:
    """Whether an object that lacked an attribute is a stand-in, or a module about GPUs."""
    module = getattr(owner, "__name__", "") if type(owner).__name__ == "module" else ""
    place = module or type(owner).__module__ or ""
    return any(place == m or place.startswith(f"{m}.") for m in INSTEAD_OF_A_GPU_MODULES)


def _raised_by_a_tool(frame: traceback.FrameSummary) -> bool:
    """Whether the innermost frame is a tool's that broke; one that says `raise` means it."""
    if frame.filename.startswith(OURS):
        return not (frame.line or "").startswith(("raise ", "assert "))
    return any(part in frame.filename for part in INSTEAD_OF_A_GPU)
