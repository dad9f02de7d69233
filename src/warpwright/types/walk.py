"""A walk: one program through the stages, each a request of its own, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from warpwright.types.answer import Answer
from warpwright.types.candidate import Move
from warpwright.types.conv2d import CONFIGS, TRIES
from warpwright.types.counts import ProgramCounts
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.measurement import Comparison
from warpwright.types.optimization import Optimization
from warpwright.types.request import Profile
from warpwright.types.stage import MetricTarget, ProgramKind, StageId
from warpwright.types.trial import Trial
from warpwright.types.verdict import Verdict

ALGORITHM = "algorithm"
"""The stage before a request's four: it replaces the program instead of editing it."""


class StageOutcome(StrEnum):
    CHANGED = "changed"
    KEPT = "kept"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """Which stages a walk goes through, in their order.

    `algorithm` True: the program is to be replaced; None: only where a GPU shows that another
    algorithm is faster; False: never. `skipping`: whether metrics may skip a stage. `tries`,
    `configs`: of another algorithm, how many candidates are compiled and how many configs its
    program has, at most.
    """

    stages: tuple[StageId, ...]
    kind: ProgramKind = ProgramKind.SINGLE
    algorithm: bool | None = None
    skipping: bool = True
    tries: int = TRIES
    configs: int = CONFIGS


@dataclass(frozen=True, slots=True)
class StageProfile:
    """The profile of the program that a stage begins with. `origin` None: none was taken, and
    `missing` says why."""

    profile: Profile = field(default_factory=Profile)
    origin: Origin | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class ConditionReading:
    """One condition under which a stage is skipped, and whether it holds; None: not known.

    `value`: of the launch that is farthest from the bound.
    """

    condition: MetricTarget
    value: float | None
    holds: bool | None


@dataclass(frozen=True, slots=True)
class SkipReading:
    """Whether a stage has nothing left to gain, by its metrics."""

    conditions: tuple[ConditionReading, ...] = ()

    @property
    def skips(self) -> bool:
        """Whether every condition is known to hold; never without any."""
        return bool(self.conditions) and all(reading.holds for reading in self.conditions)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much faster a program is than the one before it: measured, or counts that predict it.

    Both None: nothing tells, and `unknown` says why.
    """

    comparison: Comparison | None = None
    counts: tuple[ProgramCounts, ProgramCounts] | None = None
    unknown: str | None = None

    @property
    def origin(self) -> Origin | None:
        if self.comparison is not None:
            return Origin.MEASURED
        return None if self.counts is None else Origin.PREDICTED


@dataclass(frozen=True, slots=True)
class ReplyJudged:
    """A reply of somebody else's to a stage's request: taken, or why not."""

    taken: bool
    reason: str
    gain: Gain = Gain()
    gate: Verdict | None = None


@dataclass(frozen=True, slots=True)
class WalkStep:
    """One stage: what it began and ended with, and why.

    `number` counts the stages with a request from 1; None for the algorithm. `moves` and `gain`
    are what was done to `parent`, the program before it, and how much that gains. `in_time` False:
    the time limit left some of its work undone. `seconds`: wall clock.
    """

    stage: str
    outcome: StageOutcome
    reason: str
    parent: str
    program: str
    number: int | None = None
    moves: tuple[Move, ...] = ()
    gain: Gain = Gain()
    answer: Answer | None = None
    algorithm: Optimization | None = None
    trial: Trial | None = None  # of an algorithm's program beside its parent
    profile: StageProfile = StageProfile()
    skip: SkipReading = SkipReading()
    reply: ReplyJudged | None = None
    in_time: bool = True
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        return self.outcome is StageOutcome.CHANGED


@dataclass(frozen=True, slots=True)
class StageWalk:
    """A whole walk. `first` is the program that was given, `program` what is handed out: the
    last stage's, or an earlier one where the whole way to it could not be shown to be good.

    `gain`: of the last stage's program beside the first, by timings after the walk where there is
    a GPU (`trial`). `gate`: what the verifier says of the whole way, None where nothing changed.
    """

    first: str
    program: str
    gpu: ResolvedGpu
    steps: tuple[WalkStep, ...]
    reason: str
    gain: Gain = Gain()
    trial: Trial | None = None
    gate: Verdict | None = None

    @property
    def changed(self) -> bool:
        return self.program != self.first
