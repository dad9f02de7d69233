"""What the stage's rules alone kept from being tried: shown beside the answer, never handed out.

A list of moves that was refused by the text of its program was not run: nothing is known of its
outputs. It is worth showing where it is much faster than what is handed out, by the same evidence.
"""

from __future__ import annotations

from dataclasses import replace

from warpwright.proposers.rewrites.registry import replay
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, BeyondRules, Decision
from warpwright.types.candidate import Candidate
from warpwright.types.counts import ProgramCounts
from warpwright.types.verdict import EditLimits, Status
from warpwright.verifier.verify import VerifyContext, verify

REFUSED = "refused: "  # what begins the reason of a list that was refused before it was run
RULES = "rules"
MUCH = 1.1
"""Times as fast as what is handed out, by timings or by the product of both counts."""


def with_beyond_rules(answer: Answer, run_context: RunContext, limits: EditLimits) -> Answer:
    """The answer, with the best list of moves that only the rules refuse, if it is much faster."""
    for found in _refused(answer):
        candidate = Candidate(
            answer.request.program, replay(answer.request.program, found.moves), found.moves
        )
        context = VerifyContext(
            answer.study, run_context, answer.study.problem, accuracy=False, limits=limits
        )
        gate = verify(candidate, answer.request, context).gate  # known: it was refused by this
        failed = {result.check for result in gate.results if result.status is Status.FAIL}
        if failed == {RULES}:
            broken = tuple(dict.fromkeys(v.rule for v in gate.violations))
            return replace(answer, beyond_rules=replace(found, broken=broken))
    return answer


def _refused(answer: Answer) -> list[BeyondRules]:
    """The lists that were refused before they were run and are much faster, the fastest first."""
    found = _timed(answer) if answer.trial is not None else _counted(answer)
    return [one for ratio, one in sorted(found, key=lambda pair: -pair[0]) if ratio >= MUCH]


def _timed(answer: Answer) -> list[tuple[float, BeyondRules]]:
    """Each refused list by its time, beside what is handed out."""
    assert answer.trial is not None
    decided = answer.trial.comparison
    changed = answer.decision is Decision.CHANGED and decided is not None
    ours = 1 + ((decided.gain_pct or 0.0) if changed and decided is not None else 0.0) / 100
    return [
        ((1 + trial.gain_pct / 100) / ours, BeyondRules(trial.moves, gain_pct=trial.gain_pct))
        for trial in answer.trial.moves
        if trial.gain_pct is not None and (trial.failure or "").startswith(REFUSED)
    ]


def _counted(answer: Answer) -> list[tuple[float, BeyondRules]]:
    """Each refused list by its counts, beside what is handed out."""
    handed_out = [c.after for c in answer.counted if answer.moves and c.moves == answer.moves]
    found = []
    for counted in answer.counted:
        if counted.after is None or not counted.reason.startswith(REFUSED):
            continue
        ours = next((after for after in handed_out if after is not None), counted.before)
        mine, theirs = _product(ours), _product(counted.after)
        if mine is not None and theirs:
            one = BeyondRules(counted.moves, counts=(counted.before, counted.after))
            found.append((mine / theirs, one))
    return found


def _product(program: ProgramCounts) -> float | None:
    counts = program.counts
    if counts.instructions is None or counts.sectors is None:
        return None
    return counts.instructions * counts.sectors
