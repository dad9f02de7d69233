"""Times that no card can reach."""

from __future__ import annotations

import pytest

from warpwright.bench.statistics.speed_of_light import Light, against_light, light_floor
from warpwright.costmodel.roofline import RateClass
from warpwright.gpus.sheets import find_gpu

H100 = find_gpu("H100 SXM")
MB = 1e6


def test_bytes_read_and_what_l2_cannot_hold_of_the_written_bound_the_time() -> None:
    """3350 MB read at 3350 GB/s are 1000 µs; the written ones fit into 50 MB of L2."""
    found = light_floor({}, 3350 * MB, 40 * MB, H100)
    assert found.floor_us == pytest.approx(1000.0)
    more = light_floor({}, 3350 * MB, 3350 * MB, H100)
    assert more.floor_us is not None
    assert 1000 + 980 < more.floor_us < 2000


def test_a_higher_clock_lowers_the_floor_of_arithmetic_and_not_of_memory() -> None:
    work = {RateClass.TF32: 494.7e9}
    usual = light_floor(work, 1.0, 1.0, H100)
    boosted = light_floor(work, 1.0, 1.0, H100, max_sm_clock_mhz=1980)
    assert usual.floor_us == pytest.approx(1000.0)
    assert boosted.floor_us == pytest.approx(1000.0 * 1830 / 1980)
    bound_by_memory = light_floor({}, 3350 * MB, 0.0, H100, max_sm_clock_mhz=1980)
    assert bound_by_memory.floor_us == pytest.approx(1000.0)


def test_a_clock_below_the_sheets_does_not_raise_the_floor() -> None:
    found = light_floor({RateClass.TF32: 494.7e9}, 1.0, 1.0, H100, max_sm_clock_mhz=1000)
    assert found.floor_us == pytest.approx(1000.0)


def test_nothing_known_is_no_floor() -> None:
    found = light_floor(None, None, None, H100)
    assert found.floor_us is None
    assert against_light([1.0], found.floor_us) is Light.UNKNOWN


@pytest.mark.parametrize(
    ("medians_us", "expected"),
    [
        ([101.0], Light.POSSIBLE),
        ([95.0, 94.0], Light.POSSIBLE),  # within the margin
        ([80.0], Light.FLAGGED),
        ([80.0, 81.0], Light.REFUSED),
        ([80.0, 120.0], Light.POSSIBLE),  # the second measurement disagrees
        ([], Light.UNKNOWN),
    ],
)
def test_one_time_under_the_floor_is_flagged_and_two_are_refused(
    medians_us: list[float], expected: Light
) -> None:
    assert against_light(medians_us, 100.0) is expected
