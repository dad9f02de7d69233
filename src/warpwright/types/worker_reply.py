"""What comes of a request to a persistent worker process.

Three answers are told apart: it is done; the program failed and the worker goes on; the worker
died, or must be replaced, and how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FailureKind(StrEnum):
    """How a program failed without harm to its worker."""

    RAISED = "raised"
    FORBIDDEN = "forbidden action"
    EXIT = "called exit"
    GPU_OUT_OF_MEMORY = "out of GPU memory"
    HOST_OUT_OF_MEMORY = "out of host memory"
    OUT_OF_RESOURCES = "out of GPU resources"  # shared memory, registers, threads of a block
    DISK_FULL = "disk full"
    BAD_OUTPUT = "bad output"  # no plain tensor, wrong device, nothing behind it
    TAMPERED = "changed a library"  # timers, torch or Triton are not what they were
    THREADS = "started a thread"
    UNSUPPORTED = "unsupported"  # this request cannot be made of this program


class Death(StrEnum):
    """How a worker ended, or why it must be replaced."""

    TIMEOUT = "timeout"
    EXIT = "exit"  # the process ended by itself: `os._exit`, or exit in native code
    ABORT = "abort"  # SIGABRT, as an assertion in LLVM does it
    CRASH = "crash"  # another signal: segmentation fault, illegal instruction, bus error
    KILLED = "killed"  # SIGKILL from outside, such as the kernel's out-of-memory killer
    STICKY_CUDA_ERROR = "sticky CUDA error"
    HOST_OUT_OF_MEMORY = "out of host memory"
    OUTPUT_LIMIT = "too much output"
    DISK_LIMIT = "too much on disk"
    DISK_FULL = "disk full"  # while our own code wrote, or the machine's disk
    PROCESS_LIMIT = "too many processes or threads"
    BAD_ANSWER = "answered nonsense"
    START = "did not start"
    OWN_ERROR = "the worker's own code failed"


@dataclass(frozen=True, slots=True)
class Done:
    """The request was carried out. `value` is plain JSON data; `wall_s` the parent's own clock."""

    value: Mapping[str, Any]
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CandidateFailed:
    """The program failed; the worker goes on unless `replace_worker`.

    `where` is the line of the program, or what was being done. `reason` is one line for a person.
    """

    reason: str
    where: str = ""
    kind: FailureKind = FailureKind.RAISED
    replace_worker: bool = False
    detail: str = ""
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The worker is gone. `blames_program`: foreign code was running, and nothing points elsewhere.

    `detail` is the tail of what the process printed.
    """

    how: Death
    reason: str
    blames_program: bool = True
    detail: str = ""
    wall_s: float = 0.0


Answer = Done | CandidateFailed | WorkerDied


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Budgets of one worker. Bytes and counts are over its whole process tree."""

    start_s: float = 120.0
    memory_bytes: int = 24 * 1024**3
    output_bytes: int = 16 * 1024**2
    disk_bytes: int = 8 * 1024**3
    processes: int = 32
    threads: int = 1024
    answer_bytes: int = 64 * 1024**2
