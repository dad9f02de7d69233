"""Mistake: a way that only some sizes take is wrong, or a constant caps what a loop does."""

from __future__ import annotations

import accuracy_trial as trial
import pytest

from warpwright.sandbox.deadline import Deadline
from warpwright.store.run_context import RunContext
from warpwright.types.verdict import NOT_IN_TIME, Status
from warpwright.verifier import accuracy

pytestmark = pytest.mark.triton

LOOP = "    for start in range(0, DEPTH, TILE_D):\n"
CONSTEXPR = "TILE_R: tl.constexpr, TILE_C: tl.constexpr, TILE_D: tl.constexpr,\n"


def with_flag(computed: str, taken: str, otherwise: str) -> str:
    """A compile-time flag that the host computes decides how far the loop goes."""
    return trial.changed(
        trial.PRODUCT,
        (CONSTEXPR, CONSTEXPR + "    WHOLE: tl.constexpr,\n"),
        ("TILE_C=32, TILE_D=16\n", f"TILE_C=32, TILE_D=16, WHOLE={computed}\n"),
        (LOOP, f"    if WHOLE:\n        last = {taken}\n    else:\n        last = {otherwise}\n"
               "    for start in range(0, last, TILE_D):\n"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            trial.changed(trial.PRODUCT, (LOOP, LOOP.replace("DEPTH,", "tl.minimum(DEPTH, 640),"))),
            id="a capped loop",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            trial.changed(
                trial.PRODUCT, (LOOP, "    if DEPTH % 32 == 0:\n        DEPTH -= 32\n" + LOOP)
            ),
            id="a branch for even sizes",
        ),
        pytest.param(with_flag("DEPTH % 16 == 0", "DEPTH - 16", "DEPTH"), id="a flag of the host"),
        pytest.param(
            with_flag("DEPTH <= 512", "DEPTH", "512"),
            id="a flag for large sizes",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_sizes_are_chosen_that_take_the_new_way(wrong: str) -> None:
    assert trial.status_of(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM) is Status.FAIL


def test_a_right_way_for_even_sizes_passes_and_is_run() -> None:
    honest = with_flag("DEPTH % 16 == 0", "DEPTH", "tl.cdiv(DEPTH, 16) * 16")
    run = trial.accuracy_of(trial.PRODUCT, honest, trial.PRODUCT_PROBLEM)
    assert run.result.status is Status.PASS
    assert {way for _, kind, text, way in run.ways if text == "WHOLE"} == {True, False}


def test_a_new_branch_that_no_check_runs_is_not_verified() -> None:
    hidden = trial.changed(
        trial.PRODUCT,
        ("    out = torch.empty((ROWS", "    if torch.cuda.memory_allocated() > 1000000:\n"
         "        DEPTH = DEPTH // 2\n    out = torch.empty((ROWS"),
    )  # fmt: skip
    run = trial.accuracy_of(trial.PRODUCT, hidden, trial.PRODUCT_PROBLEM)
    assert run.result.status is Status.NOT_VERIFIED
    assert any(
        "memory_allocated" in note and "ran in no check" in note for note in run.result.notes
    )


@pytest.mark.slow
def test_a_branch_that_the_parent_has_and_a_guard_on_kind_change_nothing() -> None:
    guard = "    if not left.is_contiguous():\n        left = left.contiguous()\n"
    check = "    if left.shape[1] != right.shape[0]:\n        raise ValueError('sizes')\n"
    place = "    out = torch.empty((ROWS"
    honest = trial.changed(trial.PRODUCT, (place, guard + check + place))
    assert trial.status_of(trial.PRODUCT, honest, trial.PRODUCT_PROBLEM) is Status.PASS


@pytest.mark.slow
def test_a_branch_whose_sizes_got_no_time_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "FURTHER_S", 1e9)
    wrong = with_flag("DEPTH % 16 == 0", "DEPTH", "DEPTH // 2")
    run_context = RunContext(deadline=Deadline(600.0))
    run = trial.accuracy_of(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM, run_context)
    assert run.result.status is Status.NOT_VERIFIED
    assert not run.result.in_time
    assert any(NOT_IN_TIME in note and "further sizes" in note for note in run.result.notes)
