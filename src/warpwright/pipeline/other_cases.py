"""An answer that was made for one case, on the others: right on all, and faster over all.

The verifier judges it on each case's inputs; on a GPU both programs are timed there. An answer
that fails on one, or that costs more time over all cases, by how often each occurs, is not handed
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.analysis.study_program import Subject, study_program
from warpwright.errors import InputError
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.beside_parent import ANY_GAIN, timed_beside
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, Decision
from warpwright.types.candidate import Candidate
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.input_cases import CaseJudged, InputCase
from warpwright.types.measurement import Comparison
from warpwright.types.request import Request
from warpwright.types.stage import ProgramKind, Stage
from warpwright.types.verdict import Status
from warpwright.types.walk import StageWalk
from warpwright.verifier.verify import VerifyContext, verify


def judge_cases(
    first: str,
    program: str,
    cases: Sequence[InputCase],
    gpu: ResolvedGpu,
    run_context: RunContext,
    setup: TrialSetup | None,
) -> tuple[CaseJudged, ...]:
    """The program beside `first`, the one that was given, on each of the cases. With `setup` both
    are timed where the verifier does not refuse it."""
    return tuple(_judged(first, program, case, gpu, run_context, setup) for case in cases)


def _judged(
    first: str,
    program: str,
    case: InputCase,
    gpu: ResolvedGpu,
    run_context: RunContext,
    setup: TrialSetup | None,
) -> CaseJudged:
    run_context.listener("case", f"case {case.name}: judging the program on its inputs")
    try:
        parent = study_program(Subject(first), gpu, run_context, problem=case.problem)
    except InputError as error:
        reason = f"the program that was given does not run on it: {error.what}"
        return CaseJudged(case.name, case.weight, Status.NOT_VERIFIED, reason)
    stage = Stage(None, ProgramKind.SINGLE, "Another case of the same program.")
    request = Request(stated_gpu(gpu.sheet), stage, first)
    context = VerifyContext(parent, run_context, case.problem)
    gate = verify(Candidate(first, program), request, context).gate
    told: list[str] = [str(violation) for violation in gate.violations]
    told += [note for result in gate.results for note in result.notes]
    why = None if gate.status is Status.PASS else next(iter(told), None)
    judged = CaseJudged(case.name, case.weight, gate.status, why)
    if setup is None or gate.status is Status.FAIL:
        return judged
    trial = timed_beside(
        program, parent, setup, run_context, question={"case": case.name}, minimum=ANY_GAIN
    )
    if trial.accuracy is not None and trial.accuracy.status is Status.FAIL:
        return CaseJudged(case.name, case.weight, Status.FAIL, trial.failure)
    return CaseJudged(case.name, case.weight, gate.status, why, trial.comparison, trial.failure)


def why_not_for_all(
    own: InputCase, comparison: Comparison | None, judged: Sequence[CaseJudged]
) -> str | None:
    """Why the program that was given stays, although the answer is better on its `own` case; None
    where nothing speaks against it. `comparison`: the timings on that one, if there are any."""
    for case in judged:
        if case.status is Status.FAIL:
            return f"it fails on case {case.name}: {case.reason}"
    timed = [(own.weight, comparison), *((case.weight, case.comparison) for case in judged)]
    before = after = 0.0
    for weight, found in timed:
        if found is None or not found.parent_us or not found.candidate_us:
            return None  # over all is not known
        before += weight * found.parent_us
        after += weight * found.candidate_us
    if after < before:
        return None
    return (
        f"over all cases, by how often each occurs, it takes {after / before - 1:+.1%} time, "
        f"although case {own.name} is faster"
    )


def answer_for_all(
    answer: Answer,
    cases: Sequence[InputCase],
    run_context: RunContext,
    setup: TrialSetup | None,
) -> tuple[Answer, tuple[CaseJudged, ...]]:
    """An answer that was made for the first of the cases, once the others were tried; the program
    that was given where one of them speaks against it."""
    if answer.decision is Decision.KEPT or len(cases) < 2:
        return answer, ()
    first = answer.request.program
    gpu = answer.study.gpu
    judged = judge_cases(first, answer.program, cases[1:], gpu, run_context, setup)
    comparison = None if answer.trial is None else answer.trial.comparison
    refused = why_not_for_all(cases[0], comparison, judged)
    if refused is None:
        return answer, judged
    kept = replace(answer, decision=Decision.KEPT, reason=refused, program=first, moves=())
    return kept, judged


def walk_for_all(
    walk: StageWalk,
    cases: Sequence[InputCase],
    run_context: RunContext,
    setup: TrialSetup | None,
) -> tuple[StageWalk, tuple[CaseJudged, ...]]:
    """The same for a walk."""
    if not walk.changed or len(cases) < 2:
        return walk, ()
    judged = judge_cases(walk.first, walk.program, cases[1:], walk.gpu, run_context, setup)
    comparison = None if walk.trial is None else walk.trial.comparison
    refused = why_not_for_all(cases[0], comparison, judged)
    if refused is None:
        return walk, judged
    return replace(walk, program=walk.first, reason=refused), judged
