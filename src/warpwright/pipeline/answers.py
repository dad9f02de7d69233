"""What an answer is made of: the draft that passed, or the parent and why it stays."""

from __future__ import annotations

from dataclasses import replace

from warpwright.bench.full_size import FULL_SIZE
from warpwright.report.change_line import what_changed
from warpwright.search.draft import Draft
from warpwright.search.moves import Moved
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, ConfigPlan, Decision
from warpwright.types.candidate import Candidate
from warpwright.types.request import Request
from warpwright.types.study import Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import CheckResult
from warpwright.verifier.verify import VerifyContext, verify


def as_answer(
    request: Request,
    study: Study,
    run_context: RunContext,
    drafted: Draft,
    trial: Trial | None = None,
    moved: Moved | None = None,
    judged: CheckResult | None = None,
) -> Answer:
    """The draft as the answer, or the parent where it says so. `judged`: as `kept` takes it."""
    if drafted.keep is not None or drafted.gate is None:
        reason = drafted.keep or "nothing better can be shown"
        return kept(request, study, run_context, drafted.plans, reason, trial, judged)
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


def kept(
    request: Request,
    study: Study,
    run_context: RunContext,
    plans: tuple[ConfigPlan, ...],
    reason: str,
    trial: Trial | None = None,
    judged: CheckResult | None = None,
) -> Answer:
    """The parent as the answer, with what `check` says of it.

    `judged`: the verdict on its outputs that a GPU gave; then nothing is interpreted.
    """
    context = VerifyContext(study, run_context, study.problem, accuracy=judged is None)
    gate = verify(Candidate(request.program, request.program), request, context).gate
    if judged is not None:
        gate = replace(gate, results=(*gate.results, replace(judged, check=FULL_SIZE)))
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
