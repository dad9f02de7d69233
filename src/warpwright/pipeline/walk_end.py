"""The end of a walk: the way from the first program to the last, judged and timed as a whole.

Each stage was held to its own parent. What each may lose in accuracy could add up, and what each
gained was told by its own timings; so the whole is looked at once more, from fresh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from warpwright.analysis.study_program import Subject, study_program
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.beside_parent import ANY_GAIN, timed_beside, why_not_faster
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate
from warpwright.types.counts import ProgramCounts
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import Stage
from warpwright.types.trial import Trial
from warpwright.types.verdict import Status, Verdict
from warpwright.types.walk import ALGORITHM, Gain, StageWalk, WalkPlan, WalkStep
from warpwright.verifier.verify import VerifyContext, verify

SAME_COUNT = 0.02
"""How far counts of one program may differ between stages: sampled blocks, another config."""
NOT_FASTER = "the program that was given stays: beside it, the last one is not shown to be faster"


def concluded(
    first: str,
    problem: Problem,
    gpu: ResolvedGpu,
    steps: Sequence[WalkStep],
    plan: WalkPlan,
    run_context: RunContext,
    setup: TrialSetup | None,
) -> StageWalk:
    """The walk: what is handed out, and how the whole way to it is judged."""
    changed = [step for step in steps if step.changed]
    walk = StageWalk(first, first, gpu, tuple(steps), "no stage changed the program")
    if not changed:
        return walk
    run_context.listener("whole", "judging the last program beside the first")
    program, gate, refused = _accepted(first, problem, gpu, changed, plan, run_context)
    names = ", ".join(step.stage for step in changed)
    reason = f"changed by {len(changed)} of {len(steps)} stages ({names})"
    if refused:
        reason += f"; not beyond {_stage_of(program, changed)}: {refused}"
    walk = replace(walk, program=program, reason=reason, gate=gate)
    if program == first:
        return walk
    if setup is None:
        return _with_counts(walk, changed)
    return _with_timings(walk, problem, setup, run_context, len(changed))


def _accepted(
    first: str,
    problem: Problem,
    gpu: ResolvedGpu,
    changed: Sequence[WalkStep],
    plan: WalkPlan,
    run_context: RunContext,
) -> tuple[str, Verdict | None, str | None]:
    """The last program that the verifier does not refuse beside the first, its verdict, and why a
    later one is refused. A program with another algorithm has none before it to be held to."""
    base = next((step.program for step in changed if step.stage == ALGORITHM), first)
    study = study_program(Subject(base), gpu, run_context, problem=problem)
    stage = Stage(None, plan.kind, "All stages of a walk together.")
    request = Request(stated_gpu(gpu.sheet), stage, base)
    context = VerifyContext(study, run_context, problem)
    refused = None
    for step in reversed(changed):
        if step.program == base:
            break
        gate = verify(Candidate(base, step.program), request, context).gate
        if gate.status is not Status.FAIL:
            return step.program, gate, refused
        refused = refused or "; ".join(str(violation) for violation in gate.violations[:2])
    return base, None, refused


def _stage_of(program: str, changed: Sequence[WalkStep]) -> str:
    """The stage that a program came from."""
    return next((step.stage for step in changed if step.program == program), "the first program")


def _with_counts(walk: StageWalk, changed: Sequence[WalkStep]) -> StageWalk:
    """The walk with the counts of its first and its last program, where they can be compared.

    They are those of the stages: what one ended with, the next must have begun with.
    """
    program = walk.program
    last = next(index for index, step in enumerate(changed) if step.program == program)
    counts = [step.gain.counts for step in changed[: last + 1] if step.gain.counts is not None]
    if any(step.stage == ALGORITHM for step in changed):
        return replace(walk, gain=Gain(unknown="nothing compared the new algorithm with the first"))
    if not counts:
        return replace(walk, gain=Gain(unknown="of configs no speed is claimed"))
    for (_, one), (other, _) in pairwise(counts):
        if not _same(one, other):
            return replace(walk, gain=Gain(unknown="the stages counted different configs"))
    return replace(walk, gain=Gain(counts=(counts[0][0], counts[-1][1])))


def _same(one: ProgramCounts, other: ProgramCounts) -> bool:
    pairs = (
        (one.counts.instructions, other.counts.instructions),
        (one.counts.sectors, other.counts.sectors),
    )
    return all(
        a is not None and b is not None and math.isclose(a, b, rel_tol=SAME_COUNT) for a, b in pairs
    )


def _with_timings(
    walk: StageWalk, problem: Problem, setup: TrialSetup, run_context: RunContext, tried: int
) -> StageWalk:
    """The walk with fresh timings of its last program beside the first, which stays where they
    do not show a gain; unless a stage found it to be wrong."""
    first = study_program(Subject(walk.first), walk.gpu, run_context, problem=problem)
    trial = timed_beside(
        walk.program,
        first,
        setup,
        run_context,
        question={"walk": walk.gpu.sheet.name},
        minimum=ANY_GAIN,
        tried=tried,
    )
    kept = why_not_faster(trial)
    program, reason = walk.program, walk.reason
    if kept is not None and not _repaired(walk.steps):
        program, reason = walk.first, f"{NOT_FASTER} ({kept})"
    gain = Gain(trial.comparison, unknown=trial.failure)
    return replace(walk, program=program, reason=reason, gain=gain, trial=trial)


def _repaired(steps: Sequence[WalkStep]) -> bool:
    """Whether a stage showed that the program before it computes something wrong."""
    trials: list[Trial | None] = [None if s.answer is None else s.answer.trial for s in steps]
    return any(trial is not None and trial.repaired is not None for trial in trials)
