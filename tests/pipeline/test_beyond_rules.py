"""What only the stage's rules refuse is shown beside the answer, if it is much faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gathering import PARENT, PROBLEM

from warpwright import api
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.beyond_rules import with_beyond_rules
from warpwright.pipeline.request_study import study_request
from warpwright.report.explanation import explain
from warpwright.report.record import answer_record
from warpwright.report.schema import AnswerRecord
from warpwright.search.moves import move_candidates
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, Decision
from warpwright.types.compiled import Toolchain
from warpwright.types.counts import LaunchCounts, MovesCounted, ProgramCounts
from warpwright.types.measurement import MeasuredGpu
from warpwright.types.trial import MovesTrial, Trial
from warpwright.types.verdict import EditLimits, Verdict

pytestmark = pytest.mark.triton
STALLS = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"
CONTEXT = RunContext(cache=ResultCache())
LIMITS = EditLimits()


def counts(instructions: float) -> ProgramCounts:
    return ProgramCounts(LaunchCounts(instructions, 500.0, 1.0), {}, {}, {}, Toolchain("3.9.9"))


def kept(stalls_pct: float, reason: str, after: float) -> Answer:
    """A parent that stays: of all lists of moves those that change addresses had this reason."""
    profile = f'{{"gather_kernel": {{"{STALLS}": {stalls_pct}}}}}'
    text = api.request(PARENT, gpu="RTX 4090", stage="memory", problem=PROBLEM, profile=profile)
    request = parse_request(text)
    study, _ = study_request(request, CONTEXT, None)
    lists = [one.moves for one in move_candidates(study, LIMITS)]
    lists = [moves for moves in lists if any(move.name == "digits" for move in moves)]
    counted = [MovesCounted(moves, counts(1000.0), counts(after), False, reason) for moves in lists]
    assert counted
    return Answer(
        request=request,
        program=request.program,
        decision=Decision.KEPT,
        reason="no program by moves is taken",
        study=study,
        plans=(),
        gate=Verdict(()),
        counted=tuple(counted),
    )


def test_moves_that_a_rule_alone_forbids_are_shown_with_the_rule() -> None:
    answer = with_beyond_rules(kept(5.0, "refused: by a rule", 700.0), CONTEXT, LIMITS)
    assert answer.beyond_rules is not None
    assert answer.beyond_rules.broken == ("access.only_if",)
    told = explain(answer)
    assert "## If the rules allowed" in told
    assert "1,000 → 700 (-30.0 %)" in told and "nothing is known of its outputs" in told
    record = answer_record(answer)
    text = record.model_dump_json()
    assert AnswerRecord.model_validate_json(text).model_dump_json() == text
    assert record.beyond_rules is not None and record.beyond_rules.broken == ["access.only_if"]


@pytest.mark.parametrize(
    ("stalls_pct", "reason", "after"),
    [
        (45.0, "refused: by a rule", 700.0),
        (5.0, "refused: by a rule", 980.0),
        (5.0, "more sectors", 700.0),
    ],
    ids=["the rule allows it", "hardly faster", "not refused"],
)
def test_nothing_else_is_shown(stalls_pct: float, reason: str, after: float) -> None:
    answer = kept(stalls_pct, reason, after)
    assert with_beyond_rules(answer, CONTEXT, LIMITS) == answer
    assert "If the rules allowed" not in explain(answer)


def test_what_was_timed_is_shown_by_its_time() -> None:
    answer = kept(5.0, "refused: by a rule", 700.0)
    trials = [
        MovesTrial(counted.moves, 80.0, 100.0, 25.0, failure="refused: by a rule")
        for counted in answer.counted
    ]
    trial = Trial(MeasuredGpu("Some Card", (9, 0), 132, 2**36), "quick", moves=tuple(trials))
    answer = with_beyond_rules(replace(answer, counted=(), trial=trial), CONTEXT, LIMITS)
    assert answer.beyond_rules is not None
    assert "+25.00 % beside the parent, measured in screening" in explain(answer)
