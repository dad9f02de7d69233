"""What comes out: the program, what was tried, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from warpwright.types.candidate import Move
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.request import Request
from warpwright.types.study import ConfigStudy, Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import Verdict


class Decision(StrEnum):
    CHANGED = "changed"
    KEPT = "kept the parent"


class Fate(StrEnum):
    """Why an original is not in the list any more. Each says only what was shown."""

    WRONG = "its output is wrong"
    EQUAL = "the same binary as another that stays"
    IMPOSSIBLE = "it cannot run on the target"
    PRUNED = "the program's own pruning never tries it on this problem"
    SLOWER = "measured to be slower than what took its place"
    LIMIT = "left out by the request's limit alone"


@dataclass(frozen=True, slots=True)
class ConfigChoice:
    """One config that was considered for a kernel, and what became of it."""

    config: Config
    proposed: bool  # False: the program had it
    kept: bool
    reason: str
    study: ConfigStudy | None = None
    cause: str | None = None  # the id of the cause that led to a proposed config
    fate: Fate | None = None  # of an original that is not kept


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """The config list chosen for a kernel, with every candidate's fate."""

    kernel: str
    choices: tuple[ConfigChoice, ...]
    conflicts: tuple[str, ...] = ()
    left_alone: str | None = None  # why this kernel's configs were not touched
    limit: int | None = None  # most configs that the request allows
    alone: str | None = None  # why only one config may stand: no tuner may try several

    @property
    def kept(self) -> tuple[Config, ...]:
        return tuple(choice.config for choice in self.choices if choice.kept)


@dataclass(frozen=True, slots=True)
class BeyondRules:
    """Moves that the stage's rules alone forbid, much faster by what is known of them: by timings
    (`gain_pct`, beside the parent) or by counts of the parent and of what they make of it.

    `broken`: the ids of the rules. Their program was not run, so nothing is known of its outputs.
    """

    moves: tuple[Move, ...]
    broken: tuple[str, ...] = ()
    gain_pct: float | None = None
    counts: tuple[ProgramCounts, ProgramCounts] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. `program` is the parent where the decision is KEPT.

    `trial`: what a GPU of this machine measured for it; None where nothing was measured. `moves`:
    what was done to the program besides choosing configs, in order. `counted`: each list of moves
    that was judged by counts, where nothing was measured. `beyond_rules`: what would be much
    faster if the rules allowed it.
    """

    request: Request
    program: str
    decision: Decision
    reason: str
    study: Study
    plans: tuple[ConfigPlan, ...]
    gate: Verdict
    conflicts: tuple[str, ...] = ()
    trial: Trial | None = None
    moves: tuple[Move, ...] = ()
    counted: tuple[MovesCounted, ...] = ()
    beyond_rules: BeyondRules | None = None
