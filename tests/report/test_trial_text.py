"""What is said of measurements: nothing of a card where nothing was timed."""

from __future__ import annotations

from warpwright.report.trial_text import trial_section
from warpwright.types.config import Config
from warpwright.types.measurement import Comparison, MeasuredGpu, Outcome
from warpwright.types.trial import ConfigTrial, Trial

GPU = MeasuredGpu("Some Card", (9, 0), 132, 2**36)


def test_a_parent_that_could_not_run_is_told_and_no_device_is_named() -> None:
    told = trial_section(Trial(None, "quick", failure="out of GPU memory"))
    assert "out of GPU memory" in told
    assert "interpreter" not in told
    assert "Measured on" not in told


def test_every_config_and_the_decision_are_told_with_their_numbers() -> None:
    faster = ConfigTrial("k", Config.of({"B": 64}), True, None, 80.0, 100.0, 25.0)
    failed = ConfigTrial("k", Config.of({"B": 32}), True, failure="it hung")
    comparison = Comparison(
        Outcome.ACCEPT, 24.8, (24.1, 25.5), 0.98, 0.2, 1.0, 2, 32, "it is faster", 100.0, 80.1
    )
    told = trial_section(Trial(GPU, "quick", (faster, failed), comparison))
    assert "Measured on Some Card" in told
    assert "+24.80 % [+24.10, +25.50], noise ±0.20 %" in told
    rows = [line for line in told.splitlines() if line.startswith("| k |")]
    assert ["it hung" in row for row in rows] == [False, True]
    assert "80.0" in rows[0]
