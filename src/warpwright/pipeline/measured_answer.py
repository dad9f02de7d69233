"""An answer by this machine's GPU: who is followed, with which configs, and the decision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from warpwright.bench.statistics.budget import (
    LEFT_AFTER_CONFIGS,
    LEFT_AFTER_OPENING,
    LEFT_AFTER_VERIFYING,
)
from warpwright.bench.statistics.minimum import minimum_of
from warpwright.pipeline.answers import as_answer, kept
from warpwright.pipeline.request_study import expect_readable
from warpwright.proposers.configs.plan import chosen_by_time, propose
from warpwright.search.config_rounds import ConfigRounds, KnownPoints
from warpwright.search.configs_measured import decide_draft, measure_configs, with_apart
from warpwright.search.draft import Draft, draft
from warpwright.search.full_size_checks import FullSizeChecks
from warpwright.search.moves import UNVERIFIED, Moved, as_moved
from warpwright.search.moves_measured import by_gain, chains_ahead, search_moves
from warpwright.search.moves_predicted import OUT_OF_TIME
from warpwright.search.open_trial import open_table
from warpwright.search.opening import Opening
from warpwright.search.other_shapes import time_other_shapes
from warpwright.search.screening import ParentFailedError, Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.trial import MovesTrial, Trial
from warpwright.types.verdict import NOT_IN_TIME, EditLimits

FOLLOWED = 3  # of the programs by moves that were timed, the fastest first
LEAST_TO_FOLLOW = 0.25  # of the whole time: with less left none is followed
SEARCHED = 2  # one in so many of the new configs is left to the search, once some were timed
FASTER_AND_UNVERIFIED = (
    f"a program by moves was faster when it was screened, and was {NOT_IN_TIME} (a larger --effort "
    "leaves more of it)"
)
FRESH_AHEAD = 6  # workers that are started ahead of the decision


def begin_opening(
    request: Request, problem: Problem | None, setup: TrialSetup, run_context: RunContext
) -> Opening | None:
    """The opening of a trial, begun while the program is still to be traced and compiled."""
    found = expect_readable(request, problem)
    if found is None or request.stage.id is None or run_context.binaries is None:
        return None
    listener = run_context.listener
    return Opening(setup, found, request.program, run_context.binaries, listener)


def measured_answer(
    request: Request,
    study: Study,
    run_context: RunContext,
    setup: TrialSetup,
    limits: EditLimits,
    begun: Opening | None = None,
) -> Answer:
    """The answer by measuring; the parent stays where nothing can be measured."""
    question = {"request": repr(request), "gpu": repr(study.gpu), "limits": repr(limits)}
    with ExitStack() as opened:
        # Programs by moves are made and compiled while the parent is judged on the card.
        beside = opened.enter_context(ThreadPoolExecutor(max_workers=1))
        in_time = run_context.leaving(LEFT_AFTER_OPENING)
        chains = beside.submit(chains_ahead, study, in_time, limits)
        told = run_context.listener
        table = opened.enter_context(open_table(setup, study, question, told, begun))
        if isinstance(table, str):
            trial = Trial(None, setup.budget.name, failure=table)
            plans, _ = propose(request, study, run_context)
            return kept(request, study, run_context, plans, f"not measured: {table}", trial)
        moved: Moved | None = None
        try:
            candidates = chains.result()  # before times are taken: it has all cores
            with Screening(table, looking=True) as screening:
                screening.start()
                found = search_moves(screening, study, candidates, run_context, limits)
                moved, drafted, trial = _fastest(
                    request, study, run_context, screening, found, limits
                )
        except ParentFailedError as error:
            trial = Trial(table.bench.gpu, setup.budget.name, failure=str(error))
            plans, _ = propose(request, study, run_context)
            over = table.deadline.over
            stopped = f"the parent stopped running while measured: {error}"
            drafted = Draft(plans, keep=table.deadline.reason if over else stopped)
        judged = table.bench.full_size.parent_verdict()
    return as_answer(request, study, run_context, drafted, trial, moved, judged)


def _fastest(
    request: Request,
    study: Study,
    run_context: RunContext,
    screening: Screening,
    found: tuple[list[Candidate], list[MovesTrial]],
    limits: EditLimits,
) -> tuple[Moved | None, Draft, Trial]:
    """The fastest program by moves that the verifier accepts, with configs on top of it; by
    configs alone where it accepts none. `found`: what `search_moves` found. Raises
    ParentFailedError."""
    table = screening.table
    candidates, trials = found[0], list(found[1])
    followed = by_gain(trials)[:FOLLOWED]
    for place in followed:
        if not run_context.has_left(LEAST_TO_FOLLOW):
            trials[place] = replace(trials[place], failure=OUT_OF_TIME)
            continue
        moved = as_moved(candidates[place], request, study, run_context, limits)
        if isinstance(moved, Moved):
            drafted, trial = _tried(request, study, run_context, screening, moved, limits)
            if drafted.gate is not None or drafted.keep is None:
                return moved, drafted, replace(trial, moves=tuple(trials))
            moved = drafted.keep
        trials[place] = replace(trials[place], failure=moved)
        if moved == UNVERIFIED:  # nor would another be
            break
    if any(trial.failure in (OUT_OF_TIME, UNVERIFIED) for trial in trials):
        trial = Trial(table.bench.gpu, table.budget.name, moves=tuple(trials))
        return None, Draft((), keep=FASTER_AND_UNVERIFIED), trial
    drafted, trial = _tried(request, study, run_context, screening, None, limits)
    if drafted.keep is not None and followed:
        faster = _not_taken(found[1][followed[0]], trials[followed[0]])
        drafted = replace(drafted, keep=f"{drafted.keep}; {faster}")
    return None, drafted, replace(trial, moves=tuple(trials))


def _not_taken(screened: MovesTrial, refused: MovesTrial) -> str:
    """Why the fastest program by moves is not handed out."""
    return (
        f"{moves_label(screened.moves)}: {screened.gain_pct:+.1f} % when it was screened, and not "
        f"taken: {refused.failure}"
    )


def _tried(
    request: Request,
    study: Study,
    run_context: RunContext,
    screening: Screening,
    moved: Moved | None,
    limits: EditLimits,
) -> tuple[Draft, Trial]:
    """Measure the configs, draft from the fastest, decide on fresh timings."""
    table = screening.table
    base = study if moved is None else moved.study
    compiling = replace(run_context, deadline=table.leaving(LEFT_AFTER_CONFIGS))
    most = table.budget.candidates
    late = compiling.deadline is not None and compiling.deadline.over
    proposed = propose(request, base, compiling, most - most // SEARCHED, asked_alone=late)
    points = KnownPoints(table.points, table.bench.gpu, base)
    rounds = ConfigRounds(request, base, compiling, proposed, most, points)
    found = measure_configs(
        screening, base, proposed[0], moved is not None, rounds, run_context=compiling
    )
    screening.rest()
    table.bench.pool.expect(FRESH_AHEAD)  # the decision takes them; verifying comes first
    plans = chosen_by_time(request, base, tuple(rounds.plans), rounds.candidates, found.timed)
    if (keep := found.keep) is not None:
        drafted = Draft(plans, keep=keep)
    else:
        verifying = replace(run_context, deadline=table.leaving(LEFT_AFTER_VERIFYING))
        with FullSizeChecks(found) as checks:
            drafted = draft(
                request, study, verifying, plans, checks.begin, found.wrong, limits, moved
            )
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
