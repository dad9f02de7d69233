"""Moves as people and programs read them: what was done, what was tried, and by what it is known.

The answers are put together from a request that is read, not answered: nothing is compiled.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from warpwright.formats.request_text import parse_request
from warpwright.proposers.rewrites.config_list import CONFIGS
from warpwright.proposers.rewrites.registry import REWRITES
from warpwright.report.explanation import explain
from warpwright.report.moves_text import said_of
from warpwright.report.record import answer_record
from warpwright.report.schema import AnswerRecord
from warpwright.types.answer import Answer, Decision
from warpwright.types.candidate import Claim, Move, moves_label
from warpwright.types.compiled import Toolchain
from warpwright.types.counts import LaunchCounts, MovesCounted, ProgramCounts
from warpwright.types.edit import Edit, EditKind
from warpwright.types.measurement import Comparison, MeasuredGpu, Outcome
from warpwright.types.trial import MovesTrial, Trial
from warpwright.types.verdict import EditLimits, Verdict
from warpwright.verifier.verify import bare_study

REQUEST = Path(__file__).parents[2] / "examples" / "02-conv2d-dilated" / "request.txt"
SIZES = tuple(f"size_{number}" for number in range(15))
SPECIALISE = Move("specialise", "k", (("parameters", SIZES),))
DIGITS = Move("digits", "k", (("loop", 0), ("lanes", "channel")), Claim.SAME_SUM)
TOOLS = Toolchain("3.9.9", "12.1.1")
GPU = MeasuredGpu("Some Card", (9, 0), 132, 2**36)


def program_counts(instructions: float | None, sectors: float = 500.0) -> ProgramCounts:
    unknown = () if instructions is not None else ("executed instructions of k",)
    counts = LaunchCounts(instructions, sectors, 4096.0, {"FFMA": 7.0}, unknown)
    return ProgramCounts(counts, {"k": 50.0}, {"k": 0}, {"empty": 1}, TOOLS)


BEFORE = program_counts(1000.0)
COUNTED = (
    MovesCounted((SPECIALISE,), BEFORE, program_counts(800.0), True, "fewer: 1,000 → 800"),
    MovesCounted(
        (SPECIALISE, DIGITS), BEFORE, program_counts(400.0), False, "lower occupancy: 50 → 25 %"
    ),
    MovesCounted((DIGITS,), BEFORE, None, False, "its launches cannot be traced: a | b"),
)


def an_answer(**fields: object) -> Answer:
    request = parse_request(REQUEST.read_text())
    plain = Answer(
        request=request,
        program=request.program,
        decision=Decision.CHANGED,
        reason="moves: specialise",
        study=bare_study(request),
        plans=(),
        gate=Verdict(()),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| specialise")]


def section(text: str) -> str:
    return text.split("## What was done to the program")[1].split("\n## ")[0]


def test_every_rewrite_has_words() -> None:
    assert all(said_of(name) for name in [*REWRITES, CONFIGS])
    assert said_of("no rewrite") is None


def test_a_long_list_of_sizes_is_counted_in_a_line_and_told_once_in_full() -> None:
    label = moves_label((SPECIALISE, DIGITS, replace(DIGITS, kernel="other")))
    assert label == (
        "specialise 15 parameters + digits loop=0 lanes=channel in k, "
        "digits loop=0 lanes=channel in other"
    )
    told = section(explain(an_answer(moves=(SPECIALISE, DIGITS), counted=COUNTED)))
    assert told.count("size_11") == 1
    assert "`channel` fills the lanes" in told
    assert "the same terms are summed in another order" in told


def test_what_is_predicted_is_told_with_whose_binaries_and_never_as_measured() -> None:
    text = explain(an_answer(moves=(SPECIALISE,), counted=COUNTED))
    headline = text.split("##")[0]
    assert "predicted" in headline
    assert "not measured" in headline
    assert "1,000 → 800 (-20.0 %)" in headline
    assert "Triton 3.9.9, ptxas 12.1.1" in headline
    table = section(text)
    assert "predicted, by the binaries of Triton 3.9.9, ptxas 12.1.1" in table
    taken, refused = rows(text)
    assert taken.endswith("| handed out |")
    assert refused.endswith("| not taken: lower occupancy: 50 → 25 % |")
    (untraced,) = [line for line in table.splitlines() if line.startswith("| digits")]
    assert "1,000 → ?" in untraced
    assert untraced.count("|") == 5  # the reason's own bar ends no cell


def test_accepted_moves_that_are_not_handed_out_do_not_claim_a_speed() -> None:
    text = explain(an_answer(counted=COUNTED))
    assert "no speed is claimed" in text.split("##")[0]
    assert "no list of moves was handed out" in section(text)
    assert rows(text)[0].endswith("| speaks for it; not handed out |")


@pytest.mark.parametrize("decision", Decision)
def test_each_measured_list_says_what_became_of_it(decision: Decision) -> None:
    changed = decision is Decision.CHANGED
    trials = (
        MovesTrial((SPECIALISE,), 90.0, 100.0, 11.1),
        MovesTrial((SPECIALISE, DIGITS), 50.0, 100.0, 100.0),
        MovesTrial((SPECIALISE, DIGITS, DIGITS), 99.6, 100.0, 0.4),
        MovesTrial((SPECIALISE, SPECIALISE), failure="its output is wrong"),
    )
    comparison = Comparison(
        Outcome.ACCEPT, 98.0, (97.0, 99.0), 0.98, 0.2, 1.0, 4, 32, "it is faster", 100.0, 50.5
    )
    text = explain(
        an_answer(
            decision=decision,
            moves=trials[1].moves if changed else (),
            trial=Trial(GPU, "quick", moves=trials, comparison=comparison),
        )
    )
    best, second, little, failed = rows(text)  # the fastest first
    assert best.split(" | ")[1:4] == ["50.0", "100.0", "+100.00 %"]
    assert best.endswith("| handed out |") is changed
    assert ("not handed out" in best) is not changed
    assert "another was faster" in second
    assert "under 1 % faster" in little
    assert "its output is wrong" in failed
    assert "predicted by counts" not in text.split("##")[0]


def test_edits_beyond_the_stage_are_listed_apart_with_the_flags_that_leave_them_out() -> None:
    edit = Edit(EditKind.KERNEL_SIGNATURE, "k", "n", "n: tl.constexpr", 3)
    gate = Verdict((), edits=(edit,), beyond_stage=(edit, edit), limits=EditLimits(False, True))
    answer = an_answer(moves=(SPECIALISE,), gate=gate)
    told = section(explain(answer))
    assert "neither ask for nor forbid" in told
    assert "`--strict`" in told
    assert "- kernel signature changed in k (2 times)" in told
    assert "Asked of them: --bit-equal." in told
    record = answer_record(answer).gate
    assert [edit.after for edit in record.beyond_stage] == ["n: tl.constexpr"] * 2


def test_an_answer_without_moves_has_no_such_section() -> None:
    assert "What was done to the program" not in explain(an_answer())


def test_the_record_holds_moves_as_objects_and_counts_with_their_origin() -> None:
    trial = Trial(GPU, "quick", moves=(MovesTrial((DIGITS,), 50.0, 100.0, 100.0),))
    answer = an_answer(moves=(SPECIALISE, DIGITS), counted=COUNTED, trial=trial)
    text = answer_record(answer).model_dump_json()
    record = json.loads(text)
    specialise, digits = record["moves"]
    assert specialise["arguments"] == {"parameters": list(SIZES)}
    assert digits == {
        "name": "digits",
        "kernel": "k",
        "arguments": {"loop": 0, "lanes": "channel"},
        "claim": "the same sum in another order",
    }
    first, _, untraced = record["moves_counted"]
    assert (first["origin"], first["accepted"]) == ("predicted", True)
    assert (first["before"]["instructions"], first["after"]["instructions"]) == (1000.0, 800.0)
    assert first["after"]["requested_bytes"] == 4096.0
    assert first["after"]["toolchain"]["ptxas"] == "12.1.1"
    assert untraced["after"] is None
    (tried,) = record["trial"]["moves"]
    assert (tried["moves"], tried["time_us"]) == ([digits], 50.0)
    assert json.loads(AnswerRecord.model_validate_json(text).model_dump_json()) == record
