"""What a walk works with besides its plan: time, a GPU, profiles, and other people's replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.search.open_trial import question_key
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.verdict import EditLimits
from warpwright.types.walk import StageProfile, WalkPlan


@dataclass
class WalkSetup(TrialSetup):
    """One folder of Triton's caches for all stages: what one compiled, the next finds compiled.

    `walk` is a key of all that the walk depends on, so that a run that goes on finds it too.
    """

    walk: str = ""

    def caches(self, question: str) -> Path:  # noqa: ARG002
        """The folder of the whole walk, whatever is asked."""
        return super().caches(self.walk)


def walk_setup(
    setup: TrialSetup, program: str, problem: Problem, plan: WalkPlan, target: str
) -> WalkSetup:
    """The same setup for all stages of a walk."""
    question = {"walk": repr(plan), "gpu": target}
    key = question_key(question, program, problem, setup)
    return WalkSetup(setup.state, setup.budget, setup.device, walk=key)


def _no_profile(program: str) -> StageProfile:  # noqa: ARG001
    return StageProfile(missing="not profiled: nothing here takes profiles")


def _no_document(number: int, stage: StageId, text: str) -> str | None:  # noqa: ARG001
    return None


@dataclass(frozen=True, slots=True)
class WalkTools:
    """What a walk works with besides its plan.

    `setup`: how a GPU of this machine measures; None: nothing is timed. `profile_of`: a program's
    profile. `exchange`: is given each stage's number, name and request document as the stage
    begins, and gives somebody's reply to it, if there is one.
    """

    run_context: RunContext
    setup: TrialSetup | None = None
    limits: EditLimits = field(default_factory=EditLimits)
    profile_of: Callable[[str], StageProfile] = _no_profile
    exchange: Callable[[int, StageId, str], str | None] = _no_document
