"""What one launch of a kernel must do: operations, bytes, and the least time they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LaunchWork:
    """Work of one launch under one config, counted in Triton's intermediate representation.

    `operations`: floating-point operations per rate class ("fp32", "tf32", "fp16", ...), a
    multiply-add as two; None where they cannot be counted. They are those the blocks carry out,
    masked lanes of a tile included. `read_bytes` and `written_bytes`: for each tensor that the
    kernel loads from or stores to, its distinct elements once, but no more than its loads or
    stores can reach. `loaded_bytes`: what all loads ask for, repeats and masked lanes included;
    None where a loop's length is not known. `lacks` says what could not be counted.
    """

    operations: Mapping[str, float] | None
    read_bytes: int | None
    written_bytes: int | None
    loaded_bytes: float | None = None
    loops: int | None = None  # run-time loops in the kernel, after unrolling; None: not known
    read: tuple[str, ...] = ()  # parameters that it loads from
    written: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchFloor:
    """The roofline floor of equal launches of a kernel under one config, in µs (predicted).

    A lower bound by the GPU's sheet, from a cold cache, for a launch that touches every element
    of the tensors it reads and writes. `launches`: how many equal ones a forward pass has; the
    times are those of one. None: not known, see `work.lacks` and `lacks`.
    """

    launches: int
    work: LaunchWork
    compute_us: float | None
    memory_us: float | None
    floor_us: float | None
    bound: str | None  # "compute" or "memory"
    lacks: tuple[str, ...] = field(default=())
