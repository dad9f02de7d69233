"""Several sets of inputs of one entry point, and what an answer comes to on each."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.measurement import Comparison
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status


@dataclass(frozen=True, slots=True)
class InputCase:
    """One set of inputs. `weight`: how often it occurs beside the others."""

    name: str
    weight: float
    problem: Problem


@dataclass(frozen=True, slots=True)
class CaseJudged:
    """An answer on one more case than the one that it was made for.

    `status`: the verifier's on this case's inputs, with the first of its reasons. `comparison`:
    fresh timings beside the program that was given; None where nothing was timed, and `untimed`
    may say why.
    """

    name: str
    weight: float
    status: Status
    reason: str | None = None
    comparison: Comparison | None = None
    untimed: str | None = None
