"""A measured walk that was broken off goes on where it stopped: nothing is timed twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from workshop import PROBLEM, PROGRAM

from warpwright import api
from warpwright.formats.kernelbench import read_problem
from warpwright.types.walk import StageWalk

pytestmark = [pytest.mark.triton, pytest.mark.slow]


class BrokenOffError(Exception):
    """What a kill stands for here."""


def walked(stop_at: str | None, told: list[str]) -> StageWalk:
    def listen(name: str, text: str, **_: Any) -> None:
        told.append(f"{name}: {text}")
        if stop_at is not None and stop_at in text:
            raise BrokenOffError

    return api.walk_run(
        PROGRAM,
        read_problem(PROBLEM),
        gpu="RTX 4090",
        stages=("grid", "tuning"),
        measuring=api.Measuring(wanted=True, effort="quick", device="cpu"),
        listener=listen,
    ).walk


def _screened(told: list[str]) -> dict[str, str]:
    """What was screened at the grid stage → what timing it showed."""
    found = (
        re.fullmatch(r"screen: grid: \d+ of \d+: (.+?): ([\d,.]+ µs.*)", line) for line in told
    )
    return {match[1]: match[2] for match in found if match is not None}


def test_a_walk_that_was_broken_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path))
    before: list[str] = []
    with pytest.raises(BrokenOffError):
        walked("tuning: starting workers", before)
    after: list[str] = []
    walk = walked(None, after)
    assert any("grid: an earlier run was interrupted" in line for line in after)
    first, again = _screened(before), _screened(after)
    # Nothing is timed twice; the search, which knows what was timed, may ask for others.
    both = first.keys() & again.keys()
    assert both and {name: first[name] for name in both} == {name: again[name] for name in both}
    assert [step.stage for step in walk.steps] == ["grid", "tuning"]
    assert not list((tmp_path / "trials" / "triton").iterdir())
