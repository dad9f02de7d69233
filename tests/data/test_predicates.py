from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.data.predicates import (
    gain_counts,
    is_nearby,
    is_oversized,
    is_unstable,
    masked_pct,
    memory_stalls_are_high,
    occupancy_suggests_warps,
    registers_match,
    sm_utilization_is_clearly_low,
)
from warpwright.types.config import Config

ORIGINAL = Config.of({"BLOCK_M": 64, "BLOCK_N": 32}, num_warps=4, num_stages=3)


@pytest.mark.parametrize(
    ("config", "nearby"),
    [
        (ORIGINAL, True),
        (Config.of({"BLOCK_M": 64, "BLOCK_N": 32}, 8, 2), True),
        (Config.of({"BLOCK_M": 64, "BLOCK_N": 32}, 2, 4), True),
        (Config.of({"BLOCK_M": 64, "BLOCK_N": 32}, 16, 3), False),
        (Config.of({"BLOCK_M": 64, "BLOCK_N": 32}, 4, 5), False),
        (Config.of({"BLOCK_M": 128, "BLOCK_N": 32}, 4, 3), False),
        (Config.of({"BLOCK_M": 64}, 4, 3), False),
        (replace(ORIGINAL, maxnreg=24), False),
    ],
)
def test_nearby_keeps_the_tile_and_moves_one_step(config: Config, nearby: bool) -> None:
    assert is_nearby(config, ORIGINAL) is nearby


def test_nearby_in_blocks_allows_half_and_double_sizes() -> None:
    double = Config.of({"BLOCK_M": 128, "BLOCK_N": 16}, 4, 3)
    fourfold = Config.of({"BLOCK_M": 256, "BLOCK_N": 32}, 4, 3)
    assert is_nearby(double, ORIGINAL, axis="blocks")
    assert not is_nearby(fourfold, ORIGINAL, axis="blocks")


CONFIGS = st.builds(
    Config.of,
    st.fixed_dictionaries({"BLOCK": st.sampled_from([16, 32, 64])}),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 5),
)


@given(one=CONFIGS, other=CONFIGS, axis=st.sampled_from([None, "blocks"]))
def test_nearby_holds_both_ways_and_for_itself(
    one: Config, other: Config, axis: str | None
) -> None:
    assert is_nearby(one, one, axis=axis)
    assert is_nearby(one, other, axis=axis) == is_nearby(other, one, axis=axis)


@pytest.mark.parametrize(
    ("active", "compiled", "launches", "spills_more", "changed", "answer"),
    [
        (33.0, 33.3, True, False, 50.0, True),
        (33.0, 33.3, True, False, 33.3, True),
        (33.0, 33.3, True, False, 16.7, False),
        (80.0, 33.3, True, False, 50.0, False),
        (None, 33.3, True, False, 50.0, True),
        (None, 66.7, True, False, 100.0, False),
        (33.0, 33.3, False, False, 50.0, False),
        (33.0, 33.3, True, True, 50.0, False),
        (33.0, None, True, False, 50.0, None),
        (None, None, True, False, 50.0, None),
        (33.0, 33.3, True, False, None, None),
    ],
)
def test_occupancy_suggests_other_warps_only_where_few_are_active(
    active: float | None,
    compiled: float | None,
    launches: bool,
    spills_more: bool,
    changed: float | None,
    answer: bool | None,
) -> None:
    found = occupancy_suggests_warps(
        warps_active_pct=active,
        occupancy_pct=compiled,
        changed_launches=launches,
        changed_spills_more=spills_more,
        changed_occupancy_pct=changed,
    )
    assert found is answer


def test_without_a_measurement_utilisation_and_stalls_are_unknown() -> None:
    assert sm_utilization_is_clearly_low(None) is None
    assert memory_stalls_are_high(None) is None


def test_utilisation_and_stalls_are_judged_by_the_targets_of_the_stages() -> None:
    assert sm_utilization_is_clearly_low(59.9) is True
    assert sm_utilization_is_clearly_low(60.0) is False
    assert memory_stalls_are_high(20.0) is True
    assert memory_stalls_are_high(19.9) is False


def test_register_conditions_hold_together_and_their_alternative_alone() -> None:
    assert registers_match(
        registers_per_thread=80, spill_bytes=0, registers_below=96, no_spill=True
    )
    assert not registers_match(
        registers_per_thread=80, spill_bytes=4, registers_below=96, no_spill=True
    )
    high = {"registers_above": 128, "register_limited": True}
    assert registers_match(registers_per_thread=90, limiters=("registers",), **high)
    assert registers_match(registers_per_thread=200, limiters=(), **high)
    assert not registers_match(registers_per_thread=90, limiters=("warps",), **high)


def test_a_register_condition_without_its_number_is_unknown() -> None:
    assert registers_match(registers_per_thread=None, registers_below=96) is None
    assert registers_match(registers_per_thread=80, registers_below=96, no_spill=True) is None
    assert registers_match(registers_per_thread=99, registers_below=96, no_spill=True) is False
    assert registers_match(registers_per_thread=None) is True


def test_masked_share_of_a_tile() -> None:
    assert masked_pct(64, 64) == 0
    assert masked_pct(65, 64) == pytest.approx(100 * 63 / 128)
    assert masked_pct(3, 16) == pytest.approx(100 * 13 / 16)
    with pytest.raises(ValueError, match="positive"):
        masked_pct(0, 16)


@given(extent=st.integers(1, 10**6), block=st.integers(1, 4096))
def test_masked_share_is_under_a_hundred_and_zero_for_whole_tiles(extent: int, block: int) -> None:
    assert 0 <= masked_pct(extent, block) < 100
    assert (masked_pct(extent, block) == 0) == (extent % block == 0)


def test_a_tile_is_oversized_where_it_is_mostly_masked_or_spills() -> None:
    assert is_oversized({"M": 3, "N": 512}, {"M": 16, "N": 64}, spill_bytes=0) is True
    assert is_oversized({"M": 96, "N": 512}, {"M": 64, "N": 64}, spill_bytes=0) is False
    assert is_oversized({"M": 96}, {"M": 64}, spill_bytes=8) is True
    assert is_oversized({"M": 96}, {"M": 64}) is None
    assert is_oversized({"M": 96}, {"M": 64, "N": 64}, spill_bytes=0) is None


def test_a_gain_is_unstable_where_its_interval_reaches_into_the_noise() -> None:
    assert is_unstable(-0.5, 3.0)
    assert is_unstable(0.4, 3.0, noise_floor_pct=0.5)
    assert not is_unstable(0.6, 3.0, noise_floor_pct=0.5)
    assert not is_unstable(-9.0, -4.0, noise_floor_pct=0.5)
    with pytest.raises(ValueError, match="malformed"):
        is_unstable(2.0, 1.0)


def test_a_gain_counts_from_the_upper_bound_or_with_significance_from_the_lower() -> None:
    assert gain_counts(2.5, low_pct=1, high_pct=2, is_significant=False)
    assert gain_counts(1.5, low_pct=1, high_pct=2, is_significant=True)
    assert not gain_counts(1.5, low_pct=1, high_pct=2, is_significant=False)
    assert not gain_counts(0.5, low_pct=1, high_pct=2, is_significant=True)
