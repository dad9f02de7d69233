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

from warpwright.bench.device.worker import Worker
from warpwright.bench.statistics.budget import LEFT_AFTER_CONFIGS, LEFT_AFTER_VERIFYING
from warpwright.bench.statistics.minimum import minimum_of
from warpwright.pipeline.beyond_rules import with_beyond_rules
from warpwright.pipeline.request_study import study_request
from warpwright.proposers.configs.plan import chosen_by_time, configs_left_alone, propose, rules_of
from warpwright.proposers.configs.requested import without_new
from warpwright.report.change_line import what_changed
from warpwright.search.config_rounds import ConfigRounds, KnownPoints
from warpwright.search.configs_measured import decide_draft, measure_configs, with_apart
from warpwright.search.draft import Draft, Failing, draft
from warpwright.search.moves import UNVERIFIED, Moved, as_moved
from warpwright.search.moves_measured import by_gain, search_moves
from warpwright.search.moves_predicted import OUT_OF_TIME, Predicted, predicted_by_moves
from warpwright.search.open_trial import Table, TrialSetup, digest, open_table, start_first
from warpwright.search.other_shapes import time_other_shapes
from warpwright.search.screening import ParentFailedError
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, ConfigPlan, Decision
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.study import Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import NOT_IN_TIME, EditLimits, Verdict
from warpwright.verifier.verify import VerifyContext, verify

FOLLOWED = 3  # of the programs by moves that were timed, the fastest first
LEAST_TO_FOLLOW = 0.25  # of the whole time: with less left none is followed
SEARCHED = 2  # one in so many of the new configs is left to the search, once some were timed
FASTER_AND_UNVERIFIED = (
    f"a program by moves was faster when it was screened, and was {NOT_IN_TIME} (a larger --effort "
    "leaves more of it)"
)
FRESH_AHEAD = 6  # workers that are started ahead of the decision
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
        first: Worker | None = None
        if setup is not None:  # one deadline for all steps; a worker starts while it is read
            opened.enter_context(run_context.off_the_clock())
            # What is compiled stays for the processes that run it.
            binaries = setup.caches(digest(repr(request)))
            run_context = replace(run_context, deadline=setup.begin(), binaries=binaries)
            first = opened.enter_context(start_first(setup))
        study, problem = study_request(request, run_context, problem, gpu)
        if request.stage.id is None:
            reason = "its stage is none that is known here, so nothing is proposed for it"
            return _kept(request, study, run_context, (), reason)
        if setup is not None and study.problem is not None and study.trace is not None:
            answer = _measured(request, study, run_context, setup, limits, first)
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
            kept = _kept(request, study, run_context, plans, keep)
            return replace(kept, counted=found.counted)
        drafted = draft(request, study, run_context, plans, limits=limits)
    answer = _answer(request, study, run_context, drafted, moved=moved)
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


def _measured(
    request: Request,
    study: Study,
    run_context: RunContext,
    setup: TrialSetup,
    limits: EditLimits,
    first: Worker | None = None,
) -> Answer:
    """The answer by measuring; the parent stays where nothing can be measured."""
    question = {"request": repr(request), "gpu": repr(study.gpu), "limits": repr(limits)}
    with ExitStack() as opened:
        told, caches = run_context.listener, run_context.binaries
        table = opened.enter_context(open_table(setup, study, question, told, first, caches=caches))
        if isinstance(table, str):
            trial = Trial(None, setup.budget.name, failure=table)
            plans, _ = propose(request, study, run_context)
            return _kept(request, study, run_context, plans, f"not measured: {table}", trial)
        moved: Moved | None = None
        try:
            moved, drafted, trial = _fastest(request, study, run_context, table, limits)
        except ParentFailedError as error:
            trial = Trial(table.bench.gpu, setup.budget.name, failure=str(error))
            plans, _ = propose(request, study, run_context)
            over = table.deadline.over
            stopped = f"the parent stopped running while measured: {error}"
            drafted = Draft(plans, keep=table.deadline.reason if over else stopped)
    return _answer(request, study, run_context, drafted, trial, moved)


def _fastest(
    request: Request, study: Study, run_context: RunContext, table: Table, limits: EditLimits
) -> tuple[Moved | None, Draft, Trial]:
    """The fastest program by moves that the verifier accepts, with configs on top of it; by
    configs alone where it accepts none. Raises ParentFailedError."""
    candidates, trials = search_moves(table, study, run_context, limits)
    for place in by_gain(trials)[:FOLLOWED]:
        if not run_context.has_left(LEAST_TO_FOLLOW):
            trials[place] = replace(trials[place], failure=OUT_OF_TIME)
            continue
        moved = as_moved(candidates[place], request, study, run_context, limits)
        if isinstance(moved, Moved):
            drafted, trial = _tried(request, study, run_context, table, moved, limits)
            if drafted.gate is not None or drafted.keep is None:
                return moved, drafted, replace(trial, moves=tuple(trials))
            moved = drafted.keep
        trials[place] = replace(trials[place], failure=moved)
    if any(trial.failure == OUT_OF_TIME for trial in trials):
        trial = Trial(table.bench.gpu, table.budget.name, moves=tuple(trials))
        return None, Draft((), keep=FASTER_AND_UNVERIFIED), trial
    drafted, trial = _tried(request, study, run_context, table, None, limits)
    return None, drafted, replace(trial, moves=tuple(trials))


def _tried(
    request: Request,
    study: Study,
    run_context: RunContext,
    table: Table,
    moved: Moved | None,
    limits: EditLimits,
) -> tuple[Draft, Trial]:
    """Measure the configs, draft from the fastest, decide on fresh timings."""
    base = study if moved is None else moved.study
    compiling = run_context.leaving(LEFT_AFTER_CONFIGS)
    most = table.budget.candidates
    proposed = propose(request, base, compiling, most - most // SEARCHED)
    points = KnownPoints(table.points, table.bench.gpu, base)
    rounds = ConfigRounds(request, base, compiling, proposed, most, points)
    found = measure_configs(
        table, base, proposed[0], moved is not None, rounds, run_context=compiling
    )
    table.bench.pool.expect(FRESH_AHEAD)  # the decision takes them; verifying comes first

    def confirm(
        gate: Verdict, plans: tuple[ConfigPlan, ...], program: str
    ) -> tuple[Verdict, Failing]:
        return found.confirm(gate, plans, program)

    plans = chosen_by_time(request, base, tuple(rounds.plans), rounds.candidates, found.timed)
    if (keep := found.keep) is not None:
        drafted = Draft(plans, keep=keep)
    else:
        verifying = run_context.leaving(LEFT_AFTER_VERIFYING)
        drafted = draft(request, study, verifying, plans, confirm, found.wrong, limits, moved)
    trial = found.trial
    if drafted.keep is None:
        trial, keep = decide_draft(table, found, drafted.program, minimum_of(request.stage))
        drafted = replace(drafted, keep=keep)
    answered = request.program if drafted.keep is not None else drafted.program
    trial = with_apart(table, trial, answered)
    if table.budget.apart and drafted.keep is None and not table.deadline.over:
        others = time_other_shapes(table, study, drafted.program, run_context)
        trial = replace(trial, other_shapes=others)
    return drafted, trial


def _answer(
    request: Request,
    study: Study,
    run_context: RunContext,
    drafted: Draft,
    trial: Trial | None = None,
    moved: Moved | None = None,
) -> Answer:
    if drafted.keep is not None or drafted.gate is None:
        reason = drafted.keep or "nothing better can be shown"
        return _kept(request, study, run_context, drafted.plans, reason, trial)
    changed = what_changed(drafted.plans, study.calls if moved is None else moved.study.calls)
    if moved is not None:
        names = dict.fromkeys(move.name for move in moved.candidate.moves)
        changed = "; ".join(filter(None, (f"moves: {', '.join(names)}", changed)))
    return Answer(
        request=request,
        program=drafted.program,
        decision=Decision.CHANGED,
        reason=changed
        if trial is None or trial.repaired is None
        else f"{changed}; {trial.repaired}",
        study=study,
        plans=drafted.plans,
        gate=drafted.gate,
        conflicts=tuple(c for plan in drafted.plans for c in plan.conflicts),
        trial=trial,
        moves=() if moved is None else moved.candidate.moves,
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


def _kept(
    request: Request,
    study: Study,
    run_context: RunContext,
    plans: tuple[ConfigPlan, ...],
    reason: str,
    trial: Trial | None = None,
) -> Answer:
    """The parent as the answer, with what `check` says of it."""
    context = VerifyContext(study, run_context, study.problem)
    gate = verify(Candidate(request.program, request.program), request, context).gate
    return Answer(
        request=request,
        program=request.program,
        decision=Decision.KEPT,
        reason=reason,
        study=study,
        plans=plans,
        gate=gate,
        conflicts=tuple(c for plan in plans for c in plan.conflicts),
        trial=trial,
    )
