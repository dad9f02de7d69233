"""One request, one stage → one answer: the main line, on one page.

    request → evidence → propose → verify → decide → answer

Without a GPU the decision is made on compiled evidence and on accuracy in the interpreter: no
speed is claimed, and the tuner on the user's card chooses among configs that were checked. With
one, every config is measured beside the parent, and the program is handed out only where fresh
timings show that it is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from warpwright.pipeline.answers import as_answer, kept
from warpwright.pipeline.beyond_rules import with_beyond_rules
from warpwright.pipeline.measured_answer import begin_opening, measured_answer
from warpwright.pipeline.request_study import study_request
from warpwright.proposers.configs.plan import configs_left_alone, propose, rules_of
from warpwright.proposers.configs.requested import without_new
from warpwright.search.draft import Draft, draft
from warpwright.search.moves import UNVERIFIED, Moved, as_moved
from warpwright.search.moves_predicted import OUT_OF_TIME, Predicted, predicted_by_moves
from warpwright.search.open_trial import digest
from warpwright.search.opening import Opening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, ConfigPlan
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.study import Study
from warpwright.types.verdict import EditLimits

ON_MOVES_SHARE = 0.35  # of the time limit: with less left no draft by moves is begun
NEW_CONFIGS_SHARE = 0.3  # with less left no new configs are compiled and verified
WITHOUT_MOVES_SHARE = 0.25  # what such a draft leaves to an answer without moves


def answer_request(
    request: Request,
    run_context: RunContext,
    problem: Problem | None = None,
    *,
    gpu: ResolvedGpu | None = None,
    setup: TrialSetup | None = None,
    limits: EditLimits | None = None,
) -> Answer:
    """Answer a request within its stage's rules.

    `problem` gives shapes and the reference; without one, a `[PROBLEM]` section of the request
    is used, and without that accuracy stays unverified. `gpu` stands in for the request's own.
    With `setup` the GPU of this machine, which must be the request's, measures and decides.
    `limits`: on what edits may change beside the stage's own (`--strict`, `--bit-equal`).
    Raises InputError and MissingToolError.
    """
    limits, unmeasured = limits or EditLimits(), run_context
    with ExitStack() as opened:
        begun: Opening | None = None
        if setup is not None:  # one deadline for all steps
            opened.enter_context(run_context.off_the_clock())
            # What is compiled stays for the processes that run it.
            binaries = setup.caches(digest(repr(request)))
            run_context = replace(run_context, deadline=setup.begin(), binaries=binaries)
            begun = begin_opening(request, problem, setup, run_context)
        if begun is not None:
            opened.enter_context(begun)
        study, problem = study_request(request, run_context, problem, gpu)
        if request.stage.id is None:
            reason = "its stage is none that is known here, so nothing is proposed for it"
            return kept(request, study, run_context, (), reason)
        if setup is not None and study.problem is not None and study.trace is not None:
            answer = measured_answer(request, study, run_context, setup, limits, begun)
            return with_beyond_rules(answer, run_context, limits)
    if setup is not None:
        run_context.listener("measure", "nothing is measured: the program's launches are not known")
    answer = _predicted(request, study, unmeasured, limits)
    return with_beyond_rules(answer, unmeasured, limits)


def _predicted(
    request: Request, study: Study, run_context: RunContext, limits: EditLimits
) -> Answer:
    """The answer without a GPU: moves by their counts, configs by what they compile to."""
    found = predicted_by_moves(study, run_context, limits)
    moved, drafted, found = _on_moves(request, study, run_context, limits, found)
    if drafted is None:
        asked_alone = not run_context.has_left(NEW_CONFIGS_SHARE)
        plans = _unmeasured_plans(request, study, run_context, asked_alone=asked_alone)
        keep = _unable(study, plans)
        if keep is None and request.stage.id is not StageId.TUNING:
            keep = _no_move(study, limits, found)
        if keep is not None:
            answer = kept(request, study, run_context, plans, keep)
            return replace(answer, counted=found.counted)
        drafted = draft(request, study, run_context, plans, limits=limits)
    answer = as_answer(request, study, run_context, drafted, moved=moved)
    return replace(answer, counted=found.counted)


def _on_moves(
    request: Request, study: Study, run_context: RunContext, limits: EditLimits, found: Predicted
) -> tuple[Moved | None, Draft | None, Predicted]:
    """The first program by moves that the verifier accepts, with configs on top of it; None
    without any. Why the others were not taken is told in the last."""
    in_time = run_context.leaving(WITHOUT_MOVES_SHARE)
    for place in found.accepted:
        if not run_context.has_left(ON_MOVES_SHARE):
            found = found.without(place, OUT_OF_TIME)
            continue
        made = _with_configs(found.candidates[place], request, study, in_time, limits)
        if not isinstance(made, str):
            return *made, found
        found = found.without(place, made)
        if made == UNVERIFIED:  # nor would another be
            break
    return None, None, found


def _with_configs(
    candidate: Candidate,
    request: Request,
    study: Study,
    run_context: RunContext,
    limits: EditLimits,
) -> tuple[Moved, Draft] | str:
    """A candidate's draft with new configs, else with the program's own; or why it is refused.

    The candidate is not verified by itself: what verifies the draft verifies the moves.
    """
    moved = as_moved(candidate, request, study, run_context, limits)
    if isinstance(moved, str):
        return moved
    plans = _unmeasured_plans(request, moved.study, run_context)
    if (unable := _unable(moved.study, plans)) is not None:
        return unable
    drafted = draft(request, study, run_context, plans, limits=limits, moved=moved)
    fewer = tuple(without_new(plan, rules_of(request)) for plan in plans)
    over = run_context.deadline is not None and run_context.deadline.over
    if drafted.keep is not None and fewer != plans and not over:
        drafted = draft(request, study, run_context, fewer, limits=limits, moved=moved)
    return (moved, drafted) if drafted.keep is None else drafted.keep


def _unmeasured_plans(
    request: Request, study: Study, run_context: RunContext, *, asked_alone: bool = False
) -> tuple[ConfigPlan, ...]:
    """Plans where no time is taken: new configs are for the stage that is about them."""
    if request.stage.id is not StageId.TUNING:
        return configs_left_alone(request, study)
    return propose(request, study, run_context, asked_alone=asked_alone)[0]


def _no_move(study: Study, limits: EditLimits, found: Predicted) -> str:
    """Why a program stays where the stage is not about configs."""
    if limits.strict:
        return "--strict makes no moves, and nothing else is proposed at this stage"
    if study.trace is None:
        return "moves need the program's launches, which are not known (give the problem's shapes)"
    if (foremost := found.foremost) is None:
        return "no move of ours applies to it"
    return (
        f"no program by moves is taken ({len(found.counted)} tried); the most promising, "
        f"{moves_label(foremost.moves)}: {foremost.reason}"
    )


def _unable(study: Study, plans: Sequence[ConfigPlan]) -> str | None:
    """Why the program cannot run on the target, and no new config helps; None where one may."""
    helped = {
        plan.kernel for plan in plans for choice in plan.choices if choice.kept and choice.proposed
    }
    for kernel in study.kernels:
        dead = bool(kernel.configs) and all(config.ruled_out for config in kernel.configs)
        if dead and kernel.kernel not in helped:
            return (
                f"the program itself cannot run on {study.gpu.sheet.name}, as compiled here: no "
                f"config of {kernel.kernel} can, and none within the rules would help"
            )
    return None
