"""`kill -9` of measured answers: nothing that was finished is lost or done again.

`python benchmarks/killed_runs.py` does the same fifty times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from killing import BLOCKS, kill_runs

pytestmark = [pytest.mark.triton, pytest.mark.slow]


def test_runs_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    found = kill_runs(tmp_path, 2, longest_s=8.0, seed=17)
    assert found.changed == []
    assert found.finished == sorted(found.finished)
    assert found.ended, (tmp_path / "log").read_text()[-2000:]
    trial = found.record["trial"]
    assert isinstance(trial, dict)
    measured = [config for config in trial["configs"] if config["time_us"] is not None]
    given_up = [config for config in trial["configs"] if "given up" in (config["failure"] or "")]
    assert len(measured) + len(given_up) == len(BLOCKS)
