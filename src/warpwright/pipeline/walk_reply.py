"""A reply to a stage's request by somebody else, a person or a model: one candidate more.

It is held to what `check` holds it to, and must be faster than the stage's parent, by timings or by
counts. Of a reply and the stage's own answer the faster one is taken.
"""

from __future__ import annotations

import math
from dataclasses import replace

from warpwright.bench.statistics.minimum import minimum_of
from warpwright.errors import InputError
from warpwright.formats.reply import parse_reply
from warpwright.pipeline.beside_parent import counted_beside, timed_beside, why_not_faster
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate
from warpwright.types.counts import ProgramCounts
from warpwright.types.request import Request
from warpwright.types.verdict import EditLimits, Status
from warpwright.types.walk import Gain, ReplyJudged, StageOutcome, WalkStep
from warpwright.verifier.verify import VerifyContext, verify

SAME = "it is the program that it answers"


def judge_reply(
    reply: str,
    request: Request,
    step: WalkStep,
    run_context: RunContext,
    setup: TrialSetup | None,
    limits: EditLimits,
) -> WalkStep:
    """The step with what became of a reply (a program, or a model's text around one)."""
    assert step.answer is not None
    try:
        program = parse_reply(reply, document="the reply").program
    except InputError as error:
        return replace(step, reply=ReplyJudged(False, error.what))
    if program == request.program:
        return replace(step, reply=ReplyJudged(False, SAME))
    run_context.listener("reply", "judging the reply beside the stage's own answer")
    parent = step.answer.study
    context = VerifyContext(parent, run_context, parent.problem, limits=limits)
    gate = verify(Candidate(request.program, program), request, context).gate
    if gate.status is Status.FAIL:
        told = "; ".join(str(violation) for violation in gate.violations[:2])
        return replace(step, reply=ReplyJudged(False, f"refused: {told}", gate=gate))
    if setup is None:
        gain, slow = counted_beside(program, parent, run_context)
    else:
        question = {"reply to": repr(request)}
        trial = timed_beside(
            program,
            parent,
            setup,
            run_context,
            question=question,
            minimum=minimum_of(request.stage),
        )
        gain, slow = Gain(comparison=trial.comparison), why_not_faster(trial)
    if slow is None and step.changed and not _is_faster(gain, step.gain):
        slow = "the stage's own answer is faster"
    judged = ReplyJudged(slow is None, slow or "taken", gain, gate)
    if slow is not None:
        return replace(step, reply=judged)
    return replace(
        step,
        outcome=StageOutcome.CHANGED,
        reason="the reply is taken",
        program=program,
        moves=(),
        gain=gain,
        reply=judged,
    )


def _is_faster(one: Gain, other: Gain) -> bool:
    """Whether one gain on the same program is more than another; measured is more than none."""
    if one.comparison is not None and other.comparison is not None:
        return (one.comparison.gain_pct or 0.0) > (other.comparison.gain_pct or 0.0)
    if one.counts is not None and other.counts is not None:
        return _cost(one.counts[1]) < _cost(other.counts[1])
    return other.origin is None


def _cost(program: ProgramCounts) -> float:
    """What is to be small, as the search by counts ranks programs."""
    counts = program.counts
    if counts.instructions is None or counts.sectors is None:
        return math.inf
    return math.log1p(counts.instructions) + math.log1p(counts.sectors)
