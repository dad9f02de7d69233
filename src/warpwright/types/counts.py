"""What launches execute and touch, counted without a GPU (origin: predicted)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.candidate import Move
from warpwright.types.compiled import Toolchain


@dataclass(frozen=True, slots=True)
class LaunchCounts:
    """What the launches of a forward pass do under one config.

    `instructions`: instructions that warps execute, those that a predicate switches off among
    them; `by_kind` splits them. `sectors`: 32-byte pieces of global memory, each counted once for
    every load or store of a warp that touches it; `requested_bytes`: what its lanes ask for.
    None: not known, and `unknown` says why. `sampled`: counted on some blocks, taken for all.
    """

    instructions: float | None
    sectors: float | None
    requested_bytes: float | None
    by_kind: Mapping[str, float] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    sampled: bool = False

    def __add__(self, other: LaunchCounts) -> LaunchCounts:
        kinds = {
            kind: self.by_kind.get(kind, 0.0) + other.by_kind.get(kind, 0.0)
            for kind in (*self.by_kind, *other.by_kind)
        }
        return LaunchCounts(
            _sum(self.instructions, other.instructions),
            _sum(self.sectors, other.sectors),
            _sum(self.requested_bytes, other.requested_bytes),
            kinds,
            tuple(dict.fromkeys((*self.unknown, *other.unknown))),
            self.sampled or other.sampled,
        )

    def times(self, count: int) -> LaunchCounts:
        """The counts of so many equal launches."""
        return LaunchCounts(
            None if self.instructions is None else count * self.instructions,
            None if self.sectors is None else count * self.sectors,
            None if self.requested_bytes is None else count * self.requested_bytes,
            {kind: count * amount for kind, amount in self.by_kind.items()},
            self.unknown,
            self.sampled,
        )


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


NO_LAUNCHES = LaunchCounts(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ProgramCounts:
    """A program under one config a kernel: what its forward pass executes, touches and needs.

    `occupancy_pct` and `spill_bytes` (per thread): by kernel; None where not known.
    `host_operations`: torch functions that the host code calls, each with how often.
    `toolchain`: whose code was counted.
    """

    counts: LaunchCounts
    occupancy_pct: Mapping[str, float | None]
    spill_bytes: Mapping[str, int | None]
    host_operations: Mapping[str, int]
    toolchain: Toolchain


@dataclass(frozen=True, slots=True)
class CountsVerdict:
    """Whether counts speak for a program against the one that it came from.

    `reasons`: what speaks for or against it, with the numbers; `unknown`: what is missing.
    """

    accepted: bool
    reasons: tuple[str, ...]
    unknown: tuple[str, ...]
    toolchain: Toolchain


@dataclass(frozen=True, slots=True)
class MovesCounted:
    """A list of moves judged by counts (predicted): the program that it gives beside the parent.

    `after` is None where the program could not be counted. `reason`: what speaks for or against it.
    """

    moves: tuple[Move, ...]
    before: ProgramCounts
    after: ProgramCounts | None
    accepted: bool
    reason: str
