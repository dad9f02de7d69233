"""A walk on a small real program, without a GPU: what each stage begins with, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import PROBLEM, PROGRAM

from warpwright import api
from warpwright.bench.statistics.budget import QUICK
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.walk_end import concluded
from warpwright.pipeline.walk_plan import walk_plan
from warpwright.report.walk_record import WalkRecord, walk_record
from warpwright.report.walk_text import explain_walk, walk_notes, walk_rows
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.evidence import Origin
from warpwright.types.stage import StageId
from warpwright.types.verdict import Status
from warpwright.types.walk import StageOutcome, StageWalk, WalkStep

pytestmark = pytest.mark.triton
TARGET = api.target_gpu("RTX 4090")
LAYER = read_problem(PROBLEM)
WARPS = "sm__warps_active.avg.pct_of_peak_sustained_active"
TWO = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
SMALL = PROGRAM.replace(TWO, '[triton.Config({"BLOCK": 16})]')
LARGE = PROGRAM.replace(TWO, '[triton.Config({"BLOCK": 1024})]')


def walked(*stages: str, program: str = PROGRAM, **more: object) -> StageWalk:
    return api.walk_run(program, LAYER, gpu="RTX 4090", stages=stages, **more).walk  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def requests() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def walk(requests: dict[str, str]) -> StageWalk:
    def exchange(number: int, stage: str, text: str) -> None:
        requests[f"{number}-{stage}"] = text

    return walked("tuning", "grid", exchange=exchange, time_limit_s=900)


def test_each_stage_begins_with_the_best_program_so_far(
    walk: StageWalk, requests: dict[str, str]
) -> None:
    grid, tuning = walk.steps
    assert (grid.stage, tuning.stage) == (StageId.GRID, StageId.TUNING)
    assert grid.outcome is StageOutcome.CHANGED, grid.reason
    assert (grid.parent, tuning.parent) == (PROGRAM, grid.program)
    assert list(requests) == ["1-grid", "2-tuning"]
    for step, text in zip(walk.steps, requests.values(), strict=True):
        request = parse_request(text)
        assert request.program == step.parent
        assert request.stage.id == step.stage


def test_the_request_of_a_stage_judges_what_the_stage_made(
    walk: StageWalk, requests: dict[str, str]
) -> None:
    (grid, *_) = walk.steps
    assert api.check(requests["1-grid"], grid.program).status is Status.PASS


def test_the_whole_way_is_judged_and_its_gain_is_a_prediction(walk: StageWalk) -> None:
    assert walk.program == walk.steps[-1].program
    assert walk.gate is not None and walk.gate.status is Status.PASS
    assert walk.gain.origin is Origin.PREDICTED
    assert walk.trial is None
    *_, whole = walk_rows(walk)
    assert whole[0] == "all" and whole[-1].startswith("predicted: executed instructions")
    assert walk_notes(walk)[0].startswith("Nothing was timed; gains are predicted")


def test_the_record_is_json_of_its_own_schema(walk: StageWalk) -> None:
    record = walk_record(walk, "a run")
    text = record.model_dump_json()
    assert WalkRecord.model_validate_json(text).model_dump_json() == text
    assert record.schema_name == "warpwright.walk"
    assert [stage.stage for stage in record.stages] == ["grid", "tuning"]
    assert record.stages[0].moves and record.stages[0].answer is not None
    assert not record.measured


def test_the_explanation_has_the_table_and_each_stage(walk: StageWalk) -> None:
    text = explain_walk(walk)
    for heading in ("## From the first program to the last", "## 1. grid: changed", "## 2. tuning"):
        assert heading in text
    assert text.count("\n# ") == 0  # one title


def test_a_profile_skips_what_has_little_left_to_gain_until_the_program_changes() -> None:
    profile = f'{{"affine_kernel": {{"{WARPS}": 93.5}}}}'
    walk = api.walk_run(
        PROGRAM, LAYER, gpu="RTX 4090", first="tiling", profile=profile, time_limit_s=900
    ).walk
    tiling, memory, tuning = walk.steps
    assert tiling.outcome is StageOutcome.SKIPPED
    assert "pct_of_peak_sustained_active is 93.5 (> 60), by the profile that was given" in (
        tiling.reason
    )
    assert memory.outcome is StageOutcome.CHANGED
    assert memory.profile.origin is Origin.STATED
    assert tuning.profile.origin is None
    assert "memory is not skipped" in " ".join(walk_notes(walk))


def test_a_stage_that_was_named_is_not_skipped() -> None:
    profile = f'{{"affine_kernel": {{"{WARPS}": 93.5}}}}'
    walk = walked("tiling", profile=profile, time_limit_s=900)
    assert walk.steps[0].outcome is StageOutcome.CHANGED
    assert walk.steps[0].skip.skips


def test_a_reply_that_breaks_the_rules_is_told_and_our_own_answer_stays() -> None:
    wrong = PROGRAM.replace("x * w + b", "x * w")
    walk = walked("grid", exchange=lambda *_: f"```python\n{wrong}```\n", time_limit_s=900)
    (step,) = walk.steps
    assert step.reply is not None and not step.reply.taken
    assert step.reply.reason.startswith("refused: ")
    assert step.answer is not None and step.program == step.answer.program
    assert walk_rows(walk)[0][2].endswith("a reply was not taken")


CONSTANT = PROGRAM.replace("count, columns, BLOCK", "count, columns: tl.constexpr, BLOCK")
"""What our own answer does too, and a grid stage may do to a kernel's signature."""


def test_a_reply_that_is_predicted_to_gain_is_taken_where_we_have_nothing_better() -> None:
    strict = api.EditLimits(strict=True)
    walk = walked("grid", exchange=lambda *_: CONSTANT, limits=strict, time_limit_s=900)
    (step,) = walk.steps
    assert step.reply is not None and step.reply.taken, step.reply
    assert step.gain.origin is Origin.PREDICTED
    assert (step.reason, walk.program) == ("the reply is taken", CONSTANT)


def test_of_a_reply_and_our_own_answer_the_faster_one_is_taken() -> None:
    walk = walked("grid", exchange=lambda *_: CONSTANT, time_limit_s=900)
    (step,) = walk.steps
    assert step.reply is not None
    assert step.reply.reason == "the stage's own answer is faster"
    assert step.answer is not None and walk.program == step.answer.program


def test_a_walk_without_time_ends_with_what_it_has_and_says_so() -> None:
    walk = walked("grid", "tiling", "memory", time_limit_s=1.0, use_cache=False)
    assert walk.steps[-1].outcome in (StageOutcome.NOT_REACHED, StageOutcome.KEPT)
    assert not any(step.in_time for step in walk.steps[1:])
    assert any(note.startswith("Out of time: ") for note in walk_notes(walk))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "last", "faster"), [(SMALL, LARGE, True), (LARGE, SMALL, False)])
def test_at_the_end_the_last_program_is_timed_beside_the_first(
    first: str, last: str, faster: bool, tmp_path: Path
) -> None:
    """In the interpreter, where the time of a program is that of its blocks."""
    setup = TrialSetup(tmp_path, QUICK, device="cpu")
    steps = [WalkStep("tiling", StageOutcome.CHANGED, "other tiles", first, last, number=1)]
    context = RunContext(cache=ResultCache())
    walk = concluded(first, LAYER, TARGET, steps, walk_plan(), context, setup)
    setup.conclude()
    assert walk.trial is not None and walk.trial.comparison is not None, walk.reason
    assert walk.gain.origin is Origin.MEASURED
    assert walk.program == (last if faster else first), walk.reason
