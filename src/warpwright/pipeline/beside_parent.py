"""A whole program beside the one that it replaces: timed on a GPU, or judged by counts.

What a stage's own search makes is decided there. This is for programs that come from elsewhere: an
algorithm of ours, a reply, the end of a walk beside its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.statistics.minimum import Minimum
from warpwright.costmodel.count_criterion import compare_counts
from warpwright.costmodel.launch_counts import program_counts
from warpwright.search.final_decision import check_program, decide_on
from warpwright.search.open_trial import Table, open_table, own_pins
from warpwright.search.screening import ParentFailedError, Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.config import Config
from warpwright.types.measurement import Outcome
from warpwright.types.study import Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import Status
from warpwright.types.walk import Gain

ANY_GAIN = Minimum(0.0, 0.0)
"""For a program whose own least gain was asked for before: now only that it is one."""
NO_LAUNCHES = "the launches are not known"


def timed_beside(
    program: str,
    parent: Study,
    setup: TrialSetup,
    run_context: RunContext,
    *,
    question: Mapping[str, Any],
    minimum: Minimum,
    tried: int = 1,
) -> Trial:
    """Accuracy at full size and fresh timings of a program beside its parent, on this GPU.

    `question`: what this is measured for, so that an interrupted run goes on with it. `tried`: how
    many programs this one was chosen among. `Trial.failure` says why there is no decision.
    """
    named = {**question, "program": program}
    setup.begin()
    with (
        run_context.off_the_clock(),
        open_table(setup, parent, named, run_context.listener) as table,
    ):
        if isinstance(table, str):
            return Trial(None, setup.budget.name, failure=table)
        trial = Trial(table.bench.gpu, setup.budget.name, resumed=table.session.resumed)
        try:
            return _decided(program, parent, table, trial, run_context, minimum, tried)
        except ParentFailedError as error:
            return replace(trial, failure=f"the program before it stopped running: {error}")


def _decided(
    program: str,
    parent: Study,
    table: Table,
    trial: Trial,
    run_context: RunContext,
    minimum: Minimum,
    tried: int,
) -> Trial:
    """The trial with accuracy and, where that is right, the decision. Raises ParentFailedError."""
    with Screening(table) as screening:
        screening.start()
        call_us = screening.call_us
    study = study_program(Subject(program), parent.gpu, run_context, problem=parent.problem)
    checked = check_program(table, program, own_pins(study))
    trial = replace(trial, accuracy=checked.result, cases=checked.cases)
    failure = checked.failure or _wrong(checked.result.status)
    if failure is not None:
        return replace(trial, failure=failure)
    final = decide_on(table, program, call_us=call_us, minimum=minimum, tried=tried)
    return replace(trial, comparison=final.comparison, bursts=final.bursts, failure=final.failure)


def why_not_faster(trial: Trial) -> str | None:
    """Why the program before it stays; None where timings show that the new one is faster."""
    if trial.comparison is None:
        return trial.failure or "no decision could be made"
    if trial.comparison.outcome is not Outcome.ACCEPT:
        return f"{trial.comparison.outcome}: {trial.comparison.reason}"
    return None


def counted_beside(program: str, parent: Study, run_context: RunContext) -> tuple[Gain, str | None]:
    """The counts of both under their usual configs, and why these do not speak for the program
    (None: they do). Predicted."""
    stop = partial(_over, run_context)
    if parent.toolchain is None or parent.trace is None:
        return Gain(unknown=NO_LAUNCHES), NO_LAUNCHES
    study = study_program(Subject(program), parent.gpu, run_context, problem=parent.problem)
    if study.toolchain is None or study.trace is None:
        return Gain(unknown=NO_LAUNCHES), NO_LAUNCHES
    before = program_counts(parent, _usual(parent), cache=run_context.cache, stop=stop)
    after = program_counts(study, _usual(study), cache=run_context.cache, stop=stop)
    verdict = compare_counts(before, after)
    unknown = [f"not known: {what}" for what in verdict.unknown]
    told = "; ".join((*verdict.reasons, *unknown)) or "the counts are the same"
    return Gain(counts=(before, after)), None if verdict.accepted else told


def _over(run_context: RunContext) -> bool:
    return run_context.deadline is not None and run_context.deadline.over


def _usual(study: Study) -> dict[str, Config]:
    return {kernel.kernel: kernel.usual for kernel in study.kernels}


def _wrong(status: Status) -> str | None:
    return "its output is wrong at full size" if status is Status.FAIL else None
