"""A program before and after moves, what counts say of it, and its times."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from warpwright.types.shapes import Problem


@dataclass(frozen=True, slots=True)
class Case:
    """A program with its problem; `request` is parsed where it is counted."""

    name: str
    request: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Pair:
    """A program before and after moves, and what counts say of it."""

    case: str
    parent: str
    program: str
    moves: str
    counted: dict[str, Any]


@dataclass(slots=True)
class Timed:
    """Microseconds a call of both, in turns; or why there are none."""

    before_us: list[float] = field(default_factory=list)
    after_us: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def speed(self) -> float | None:
        """Of the program after its moves, for 1 of that before."""
        if self.failure is not None or not self.before_us or not self.after_us:
            return None
        return median(self.before_us) / median(self.after_us)
