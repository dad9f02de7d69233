"""Mistake: what a mask leaves out is given a value that the result counts, or a mask is none."""

from __future__ import annotations

import accuracy_trial as trial
import pytest

from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(('other=float("-inf")', "other=0.0"), id="zeros are summed"),
        pytest.param(("inside = place < width", "inside = place < WIDTH"), id="mask always true"),
        pytest.param(("axis=0)\n    tl.store", "axis=0) + WIDTH - width\n    tl.store"),
                     id="right only where nothing is masked"),
    ],
)  # fmt: skip
def test_a_row_is_judged_on_widths_that_no_tile_divides(edit: tuple[str, str]) -> None:
    wrong = trial.changed(trial.SHARES, edit)
    assert trial.status_of(trial.SHARES, wrong, trial.SHARES_PROBLEM) is Status.FAIL


def test_another_way_to_leave_lanes_out_passes() -> None:
    honest = trial.changed(
        trial.SHARES,
        ('mask=inside, other=float("-inf"))', "mask=inside, other=0.0)"),
        ("weights = tl.exp(values - tl.max(values, axis=0))",
         'values = tl.where(inside, values, float("-inf"))\n'
         "    weights = tl.exp(values - tl.max(values, axis=0))"),
    )  # fmt: skip
    assert trial.status_of(trial.SHARES, honest, trial.SHARES_PROBLEM) is Status.PASS
