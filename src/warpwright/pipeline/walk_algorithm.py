"""The first stage of a walk: another algorithm for a program that is stuck, where one is known.

It keeps nothing of the program. So it replaces one only where timings on this machine's GPU show
that the new one is faster, or where the user asked for it by name.
"""

from __future__ import annotations

from dataclasses import replace

from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.statistics.minimum import DEFAULT_MINIMUM
from warpwright.errors import InputError, MissingToolError
from warpwright.operators.conv2d.conv2d_text import describe
from warpwright.pipeline.beside_parent import timed_beside, why_not_faster
from warpwright.pipeline.optimize_problem import optimize_problem, recognized
from warpwright.pipeline.walk_tools import WalkTools
from warpwright.search.ranking import measured_ranker
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.optimization import Optimization
from warpwright.types.shapes import Problem
from warpwright.types.walk import ALGORITHM, Gain, StageOutcome, WalkPlan, WalkStep

NOT_UNASKED = (
    "not tried: nothing here can time it beside the program (`--from algorithm` replaces it "
    "all the same)"
)
NOT_COMPARED = "replaced as asked; nothing compared it with the program before it"


def another_algorithm(
    program: str, problem: Problem, gpu: ResolvedGpu, plan: WalkPlan, tools: WalkTools
) -> WalkStep:
    """The stage's step. Raises InputError where it was asked for by name and no operator is
    recognised, or none of its schedules fits."""
    step = WalkStep(ALGORITHM, StageOutcome.SKIPPED, "", program, program)
    if not plan.algorithm:
        try:
            task = recognized(problem, gpu.sheet, tools.run_context)
        except InputError as error:
            return replace(step, reason=error.what)
        if tools.setup is None:
            return replace(
                step, reason=f"another is known for this {describe(task)}; {NOT_UNASKED}"
            )
    try:
        found = _optimized(program, problem, gpu, plan, tools)
    except (InputError, MissingToolError) as error:
        if plan.algorithm:
            raise
        return replace(step, outcome=StageOutcome.KEPT, reason=error.what)
    return _decided(step, found, gpu, tools)


def _optimized(
    program: str, problem: Problem, gpu: ResolvedGpu, plan: WalkPlan, tools: WalkTools
) -> Optimization:
    setup, run_context = tools.setup, tools.run_context
    rank = None
    if setup is not None:
        rank = measured_ranker(setup, gpu.sheet.name, run_context.listener)
    return optimize_problem(
        problem,
        gpu,
        run_context,
        parent=program,
        rank=rank,
        tries=plan.tries,
        configs=plan.configs,
    )


def _decided(step: WalkStep, found: Optimization, gpu: ResolvedGpu, tools: WalkTools) -> WalkStep:
    """The step with what was found, taken where timings or the user's word speak for it."""
    step = replace(step, outcome=StageOutcome.KEPT, reason=found.reason, algorithm=found)
    if found.program is None:
        return step
    taken = replace(step, outcome=StageOutcome.CHANGED, program=found.program)
    if tools.setup is None:
        return replace(taken, gain=Gain(unknown=NOT_COMPARED))
    parent = study_program(Subject(step.parent), gpu, tools.run_context, problem=found.problem)
    trial = timed_beside(
        found.program,
        parent,
        tools.setup,
        tools.run_context,
        question={"algorithm": gpu.sheet.name},
        minimum=DEFAULT_MINIMUM,
        tried=len(found.screened),
    )
    kept = why_not_faster(trial)
    if kept is not None:
        return replace(step, reason=f"{found.reason}: {kept}", trial=trial)
    return replace(taken, gain=Gain(comparison=trial.comparison), trial=trial)
