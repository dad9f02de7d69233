"""The table of a walk, word for word. Its steps are put together by hand: nothing is compiled."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import resolve_gpu, stated_gpu
from warpwright.report.walk_record import WalkRecord, walk_record
from warpwright.report.walk_text import explain_walk, walk_notes, walk_rows
from warpwright.types.answer import Answer
from warpwright.types.compiled import Toolchain
from warpwright.types.counts import LaunchCounts, ProgramCounts
from warpwright.types.evidence import Origin
from warpwright.types.measurement import Comparison, MeasuredGpu, Outcome
from warpwright.types.stage import MetricTarget
from warpwright.types.trial import Trial
from warpwright.types.walk import (
    ConditionReading,
    Gain,
    ReplyJudged,
    SkipReading,
    StageOutcome,
    StageProfile,
    StageWalk,
    WalkStep,
)

GPU = MeasuredGpu("Some Card", (9, 0), 132, 2**36)


def counts(instructions: float, sectors: float) -> ProgramCounts:
    counted = LaunchCounts(instructions, sectors, 4096.0)
    return ProgramCounts(counted, {"k": 50.0}, {"k": 0}, {}, Toolchain("3.9.9", "12.1.1"))


CARD = resolve_gpu(stated_gpu(find_gpu("4090")))
UNPROFILED = StageProfile(missing="not profiled: no ncu")
COUNTS = Gain(counts=(counts(1000.0, 500.0), counts(800.0, 250.0)))
FASTER = Comparison(
    Outcome.ACCEPT, 25.0, (24.1, 25.9), 0.95, 0.4, 1.0, 3, 40, "faster", 100.0, 80.0
)
PREDICTED = "predicted: executed instructions 1,000 → 800 (-20.0 %), sectors 500 → 250 (-50.0 %)"


def step(stage: str, outcome: StageOutcome, reason: str, number: int, **more: object) -> WalkStep:
    made = WalkStep(stage, outcome, reason, "old", "old", number=number, profile=UNPROFILED)
    return replace(made, **more)


GRID = step("grid", StageOutcome.CHANGED, "moves: specialise", 1, program="new", gain=COUNTS)
TILING = step(
    "tiling",
    StageOutcome.KEPT,
    "no program by moves is taken (3 tried); the most promising, lanes: more sectors",
    2,
    reply=ReplyJudged(False, "refused: it is wrong"),
)
MEMORY = step("memory", StageOutcome.KEPT, "long " * 40, 3, in_time=False)
TUNING = step(
    "tuning", StageOutcome.NOT_REACHED, "the time limit was over before it", 4, in_time=False
)
WALK = StageWalk(
    "old", "new", CARD, (GRID, TILING, MEMORY, TUNING), "changed by 1 of 4 stages", COUNTS
)


def test_the_table_of_a_walk_by_prediction() -> None:
    assert walk_rows(WALK) == [
        ("grid", "changed", "moves: specialise", PREDICTED),
        (
            "tiling",
            "kept",
            "no program by moves is taken (3 tried); a reply was not taken",
            "",
        ),
        ("memory", "kept", f"{'long ' * 27}…; not all of it in time", ""),
        ("tuning", "not reached", "the time limit was over before it", ""),
        ("all", "changed", "changed by 1 of 4 stages", PREDICTED),
    ]
    assert walk_notes(WALK) == [
        "Nothing was timed; gains are predicted, by the binaries of Triton 3.9.9, ptxas 12.1.1 "
        "for RTX 4090.",
        "No metric skips a stage without a profile (not profiled: no ncu).",
        "Out of time: memory, tuning; a longer --time-limit may find more.",
    ]


def test_what_was_measured_has_its_interval_and_its_card() -> None:
    measured = Gain(FASTER)
    one = replace(GRID, gain=measured)
    trial = Trial(GPU, "quick", comparison=FASTER)
    rows = walk_rows(replace(WALK, steps=(one,), gain=measured, trial=trial))
    assert [row[-1] for row in rows] == ["measured: +25.00 % [+24.10, +25.90], noise ±0.40 %"] * 2
    notes = walk_notes(replace(WALK, steps=(one,), gain=measured, trial=trial))
    assert notes[0].startswith("Gains were measured on Some Card")


def test_a_measured_walk_that_ran_out_of_time_names_the_effort() -> None:
    trial = Trial(GPU, "quick")
    answer = cast(Answer, SimpleNamespace(trial=trial))
    late = replace(GRID, in_time=False, answer=answer)
    notes = walk_notes(replace(WALK, steps=(late,), trial=trial))
    assert "Out of time: grid; a larger --effort may find more." in notes


def test_a_metric_that_is_not_known_is_named() -> None:
    reading = ConditionReading(MetricTarget("lts__t_sector_hit_rate.pct", ">", 90.0), None, None)
    profiled = StageProfile(origin=Origin.MEASURED)
    one = replace(GRID, profile=profiled, skip=SkipReading((reading,)))
    notes = walk_notes(replace(WALK, steps=(one,)))
    assert "grid is not skipped: lts__t_sector_hit_rate.pct is not known." in notes
    assert "- skipped where lts__t_sector_hit_rate.pct > 90: not known" in explain_walk(
        replace(WALK, steps=(one,))
    )


def test_a_walk_that_changed_nothing_says_so() -> None:
    walk = StageWalk("old", "old", CARD, (TILING,), "no stage changed the program")
    assert walk_rows(walk)[-1] == ("all", "kept", "no stage changed the program", "")
    assert explain_walk(walk).startswith("# Kept the program: no stage changed the program\n")


def test_the_record_holds_every_step() -> None:
    record = walk_record(WALK)
    text = record.model_dump_json()
    assert WalkRecord.model_validate_json(text).model_dump_json() == text
    assert record.stages[0].gain.origin == "predicted"
    assert record.stages[1].reply is not None and not record.stages[1].reply.taken
    assert (record.first, record.last, record.program) == ("old", "old", "new")
