"""Points that were measured are found by later runs, by all that their times depend on."""

from pathlib import Path

from warpwright.store.measured_points import MeasuredPoint, MeasuredPoints
from warpwright.types.config import Config

FAST, SLOW = Config.of({"BLOCK": 64}, 8), Config.of({"BLOCK": 32}, 2, 1)


def test_points_are_kept_by_their_place(tmp_path: Path) -> None:
    points = {FAST: MeasuredPoint(12.5), SLOW: MeasuredPoint(None, "its output is wrong")}
    MeasuredPoints(tmp_path).keep("here", points)
    assert MeasuredPoints(tmp_path).of("here") == points
    assert MeasuredPoints(tmp_path).of("elsewhere") == {}


def test_a_newer_point_takes_the_older_ones_place(tmp_path: Path) -> None:
    store = MeasuredPoints(tmp_path)
    store.keep("here", {FAST: MeasuredPoint(12.5)})
    store.keep("here", {FAST: MeasuredPoint(11.0), SLOW: MeasuredPoint(30.0)})
    assert store.of("here") == {FAST: MeasuredPoint(11.0), SLOW: MeasuredPoint(30.0)}


def test_a_config_with_a_hook_is_not_kept(tmp_path: Path) -> None:
    store = MeasuredPoints(tmp_path)
    store.keep("here", {Config(pre_hook="clear"): MeasuredPoint(1.0)})
    assert store.of("here") == {}


def test_without_a_database_nothing_is_known(tmp_path: Path) -> None:
    assert MeasuredPoints(tmp_path / "none").of("here") == {}
    assert not (tmp_path / "none").exists()
