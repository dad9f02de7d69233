import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.costmodel.occupancy import Waves, occupancy, waves
from warpwright.errors import InternalError
from warpwright.gpus.sheets import compute_capabilities, limits_for

ADA = limits_for((8, 9))
HOPPER = limits_for((9, 0))
TURING = limits_for((7, 5))

any_limits = st.sampled_from([limits_for(capability) for capability in compute_capabilities()])
registers = st.integers(0, 255)
shared_bytes = st.integers(0, 240_000)
threads = st.integers(1, 1024)


def test_128_registers_and_4_warps_fill_a_third_of_an_ada_sm():
    # 128 × 32 = 4096 registers a warp; 16384 // 4096 = 4 warps in each of 4 partitions.
    found = occupancy(ADA, 128, 0, 128)
    assert found.blocks_per_sm == 4
    assert found.warps_per_sm == 16
    assert found.occupancy_pct == pytest.approx(100 * 16 / 48)
    assert found.limiters == ("registers",)
    assert found.limits == {"warps": 12, "blocks": 24, "registers": 4, "shared memory": 100}


def test_156_registers_leave_a_quarter():
    # 156 × 32 = 4992, rounded up to 5120; 16384 // 5120 = 3 warps a partition.
    found = occupancy(ADA, 156, 0, 128)
    assert (found.blocks_per_sm, found.occupancy_pct) == (3, 25.0)


def test_178_registers_and_8_warps_leave_one_block():
    # 178 × 32 = 5696 → 5888; 2 warps a partition, 8 an SM, one block of 8: 8/48.
    found = occupancy(ADA, 178, 0, 256)
    assert found.blocks_per_sm == 1
    assert found.occupancy_pct == pytest.approx(16.67, abs=0.01)


def test_registers_are_never_shared_between_partitions():
    # 168 × 32 = 5376: 12 warps by 65536 // 5376, yet 16384 // 5376 = 3 in each of 4.
    assert occupancy(ADA, 168, 0, 32).limits["registers"] == 12
    # 176 × 32 = 5632: 11 by the whole file, 2 × 4 = 8 by partitions.
    assert occupancy(ADA, 176, 0, 32).limits["registers"] == 8


def test_shared_memory_counts_the_drivers_reserve():
    # 49 KB + 1 KB twice is all of 100 KB; one byte more is rounded up to 128 and only one fits.
    assert occupancy(ADA, 32, 49 * 1024, 128).limits["shared memory"] == 2
    assert occupancy(ADA, 32, 49 * 1024 + 1, 128).limits["shared memory"] == 1


def test_the_largest_block_fits_once_and_one_byte_more_never():
    for capability in compute_capabilities():
        limits = limits_for(capability)
        largest = limits.max_shared_bytes_per_block
        assert occupancy(limits, 32, largest, 128).blocks_per_sm == 1
        refused = occupancy(limits, 32, largest + 1, 128)
        assert refused.blocks_per_sm == 0
        assert refused.limiters == ("shared memory",)
        assert refused.occupancy_pct == 0.0


def test_small_blocks_are_capped_by_their_number():
    found = occupancy(ADA, 16, 0, 32)
    assert found.blocks_per_sm == 24
    assert found.limiters == ("blocks",)
    assert found.occupancy_pct == 50.0


def test_several_limiters_are_all_told():
    # 12 blocks of 4 warps by the 48 warps, 12 by 40 registers (1280 a warp: 12 × 4 / 4).
    found = occupancy(ADA, 40, 7 * 1024, 128)
    assert found.blocks_per_sm == 12
    assert found.limiters == ("warps", "registers", "shared memory")


def test_full_occupancy():
    assert occupancy(HOPPER, 32, 0, 256).occupancy_pct == 100.0


def test_a_resource_that_is_not_used_limits_nothing():
    found = occupancy(TURING, 0, 0, 32)
    assert found.limits == {"warps": 32, "blocks": 16}


def test_a_block_of_over_1024_threads_never_runs():
    found = occupancy(ADA, 16, 0, 1025)
    assert found.blocks_per_sm == 0
    assert found.limiters == ("warps",)


def test_more_registers_than_a_block_may_have_never_run():
    # 72 × 32 = 2304 a warp, × 32 warps = 73728 > 65536.
    assert occupancy(ADA, 72, 0, 1024).limits["registers"] == 0
    assert occupancy(ADA, 64, 0, 1024).limits["registers"] == 1


def test_the_launch_check_rounds_warps_up_to_the_partitions():
    # 29 warps × 2304 = 66816 > 65536 as it is; 28 warps × 2304 = 64512 fits; 25 count as 28.
    assert occupancy(ADA, 72, 0, 28 * 32).blocks_per_sm == 1
    # 25 warps × 2560 = 64000 would fit, but they count as 28: 71680 does not.
    assert occupancy(ADA, 80, 0, 25 * 32).blocks_per_sm == 0


@pytest.mark.parametrize("arguments", [(-1, 0, 32), (32, -1, 32), (32, 0, 0)])
def test_impossible_counts_are_a_bug_of_the_caller(arguments):
    with pytest.raises(InternalError):
        occupancy(ADA, *arguments)


@given(any_limits, registers, shared_bytes, threads)
def test_the_result_is_the_least_of_the_limits(limits, regs, shared, block):
    found = occupancy(limits, regs, shared, block)
    assert found.blocks_per_sm == min(found.limits.values())
    assert found.limiters
    assert all(found.limits[limiter] == found.blocks_per_sm for limiter in found.limiters)
    assert 0 <= found.occupancy_pct <= 100
    assert found.warps_per_sm <= limits.warps_per_sm


@given(any_limits, registers, shared_bytes, threads, st.integers(0, 50), st.integers(0, 5000))
def test_using_more_never_lets_more_blocks_in(limits, regs, shared, block, more_regs, more_shared):
    less = occupancy(limits, regs, shared, block)
    more = occupancy(limits, regs + more_regs, shared + more_shared, block)
    assert more.blocks_per_sm <= less.blocks_per_sm


def test_waves_of_a_grid():
    # 48400 blocks, 4 on each of 128 SMs: 94 waves of 512 and 272 blocks more.
    assert waves(48_400, 4, 128) == Waves(full=94, tail_fraction=272 / 512)
    assert waves(512, 4, 128) == Waves(full=1, tail_fraction=0.0)
    assert waves(1, 4, 128) == Waves(full=0, tail_fraction=1 / 512)


def test_slots_used_by_waves():
    assert waves(513, 4, 128).slots_used_pct == pytest.approx(100 * 513 / 1024)
    assert waves(512, 4, 128).slots_used_pct == 100.0
    assert waves(0, 4, 128).slots_used_pct is None


def test_no_waves_where_no_block_fits():
    assert waves(100, 0, 128) is None


@given(st.integers(0, 2**40), st.integers(1, 32), st.integers(1, 200))
def test_waves_hold_every_block_once(blocks, per_sm, sms):
    found = waves(blocks, per_sm, sms)
    assert 0 <= found.tail_fraction < 1
    assert found.full * per_sm * sms + round(found.tail_fraction * per_sm * sms) == blocks
