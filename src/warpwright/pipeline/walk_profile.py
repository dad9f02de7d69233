"""The profile of each program that a stage of a walk begins with.

Its user's own of the first program, where there is one; else taken here, where the GPU of this
machine is the target and Nsight Compute is there. What was taken is kept while the walk is not
ended: a run that goes on where another was killed asks each stage the very same request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import TypeAdapter

from warpwright.errors import WarpwrightError
from warpwright.profiler.chosen_metrics import Wanted
from warpwright.profiler.profile_run import ProfilePlan, profile_program
from warpwright.program.view import read_program
from warpwright.search.open_trial import GIVEN_UP, digest, question_key
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.ledger import Session
from warpwright.types.evidence import Origin
from warpwright.types.progress import Listener
from warpwright.types.request import Profile
from warpwright.types.shapes import Problem
from warpwright.types.walk import StageProfile

PROFILE = TypeAdapter(Profile)
PROFILE_S = 180.0
NO_GPU = "not profiled: this machine's GPU is not the target"


def profiles_of(
    first: str,
    given: Profile | None,
    problem: Problem,
    metrics: Sequence[str],
    setup: TrialSetup | None,
    tell: Listener,
) -> Callable[[str], StageProfile]:
    """A function from a program to its profile, with these metrics. It asks for each once."""
    taken: dict[str, StageProfile] = {}
    measures = setup is not None and setup.device == "cuda"
    question = {"profiles of a walk": list(metrics)}
    session = (
        setup.session(question_key(question, first, problem, setup), None)
        if setup is not None and measures
        else None
    )

    def profile_of(program: str) -> StageProfile:
        if program == first and given is not None:
            return StageProfile(given, Origin.STATED)
        if session is None:
            return StageProfile(missing=NO_GPU)
        if program not in taken:
            item = f"profile of {digest(program)}"
            taken[program] = _once(session, item, lambda: _taken(program, problem, metrics, tell))
        return taken[program]

    return profile_of


def _once(session: Session, item: str, take: Callable[[], StageProfile]) -> StageProfile:
    """What an earlier run of the walk took, else taken now and kept."""
    claim = session.claim(item)
    if claim.result is not None:
        return StageProfile(PROFILE.validate_python(claim.result), Origin.MEASURED)
    if claim.given_up:
        return StageProfile(missing=f"not profiled: {GIVEN_UP}")
    found = take()
    if found.origin is not None:
        session.finish(item, PROFILE.dump_python(found.profile, mode="json"))
    return found


def _taken(program: str, problem: Problem, metrics: Sequence[str], tell: Listener) -> StageProfile:
    """The profile by Nsight Compute; why there is none where the machine or the program fails."""
    kernels = [kernel.name for kernel in read_program(program).kernels]
    plan = ProfilePlan(Wanted((), tuple(metrics)), deadline_s=PROFILE_S)
    try:
        run = profile_program(program, kernels, problem, plan, listener=tell)
    except WarpwrightError as error:
        return StageProfile(missing=f"not profiled: {str(error).splitlines()[0]}")
    return StageProfile(run.profile, Origin.MEASURED)
