"""Which config a profile was taken with: what is known, what is not, and what disagrees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.analysis.active_config import GRID_SIZE, WARPS_ACTIVE, ActiveInference, infer_active
from warpwright.gpus.sheets import find_gpu
from warpwright.types.compiled import (
    Compiled,
    CompileFailed,
    Occupancy,
    Resources,
    Toolchain,
    Unlaunchable,
)
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, TracedConfig
from warpwright.types.request import KernelProfile
from warpwright.types.study import Activity, CompiledView, ConfigStudy, KernelStudy

SMALL = Config.of({"TILE": 32}, 4, 2)
SMALL_DEEP = Config.of({"TILE": 32}, 4, 3)
LARGE = Config.of({"TILE": 64}, 8, 2)
HUGE = Config.of({"TILE": 256}, 8, 4)


def config_study(
    config: Config, cubin: int | None, blocks_per_sm: int = 2, fits: bool = True
) -> ConfigStudy:
    resources = Resources(64, 0, 0, 0, 32 * config.num_warps)
    compiled = Compiled(config, "as called", resources, str(cubin), Toolchain("3.7.1"))
    warps = blocks_per_sm * config.num_warps
    occupancy = Occupancy(blocks_per_sm, warps, 100 * warps / 48, ("registers",), {})
    refused = () if fits else (Unlaunchable("shared memory per block", 2, 1, "B"),)
    return ConfigStudy(config, (CompiledView(compiled, occupancy, refused),), cubin)


def kernel(*configs: ConfigStudy) -> KernelStudy:
    return KernelStudy("kernel", True, configs)


def with_blocks(study: ConfigStudy, blocks: int) -> ConfigStudy:
    return replace(study, blocks=blocks, grid=(blocks,))


def launch(**blocks: int) -> Launch:
    by_name = {"SMALL": SMALL, "SMALL_DEEP": SMALL_DEEP, "LARGE": LARGE, "HUGE": HUGE}
    traced = tuple(TracedConfig(by_name[name], (count,)) for name, count in blocks.items())
    return Launch("kernel", 0, {}, traced, True)


def profile(*grid_sizes: float, warps: float | None = None) -> KernelProfile:
    def metrics(size: float) -> dict[str, float | None]:
        found: dict[str, float | None] = {GRID_SIZE: size}
        if warps is not None:
            found[WARPS_ACTIVE] = warps
        return found

    return KernelProfile("kernel", tuple(metrics(size) for size in grid_sizes))


STUDY = kernel(config_study(SMALL, 0, 4), config_study(SMALL_DEEP, 1, 2), config_study(LARGE, 2, 2))
LAUNCH = launch(SMALL=200, SMALL_DEEP=200, LARGE=100)


def test_the_grid_size_singles_out_a_config() -> None:
    found = infer_active(STUDY, [LAUNCH], profile(100))
    assert found.candidates == (LARGE,)
    assert found.certain
    assert [found.activity(c) for c in (SMALL, LARGE)] == [Activity.INACTIVE, Activity.ACTIVE]
    assert found.reason == "launch__grid_size 100 fits 1 of 3 configs"


def test_two_configs_of_one_grid_stay_a_set() -> None:
    found = infer_active(STUDY, [LAUNCH], profile(200))
    assert found.candidates == (SMALL, SMALL_DEEP)
    assert not found.certain
    assert found.activity(SMALL_DEEP) is Activity.POSSIBLE
    assert "2 configs cannot be told apart" in found.reason


def test_equal_binaries_are_one() -> None:
    study = kernel(config_study(SMALL, 0), config_study(SMALL_DEEP, 0), config_study(LARGE, 2))
    found = infer_active(study, [LAUNCH], profile(200))
    assert found.certain
    assert found.activity(SMALL_DEEP) is Activity.ACTIVE
    assert "these 2 configs compile to one binary" in found.reason


def test_active_warps_break_a_tie_and_say_so() -> None:
    # 4 blocks of 4 warps are 33.3 % of 48; 2 blocks are 16.7 %
    found = infer_active(STUDY, [LAUNCH], profile(200, warps=32.9))
    assert found.candidates == (SMALL,)
    assert "tie is broken by 32.9 % active warps" in found.reason
    low = infer_active(STUDY, [LAUNCH], profile(200, warps=16.4))
    assert low.candidates == (SMALL_DEEP,)


def test_active_warps_that_lie_between_break_nothing() -> None:
    study = kernel(config_study(SMALL, 0, 4), config_study(SMALL_DEEP, 1, 4))
    found = infer_active(study, [LAUNCH], profile(200, warps=33.0))
    assert found.candidates == (SMALL, SMALL_DEEP)


def test_fewer_active_warps_than_compiled_are_a_finding() -> None:
    # 4 blocks are 33.3 %: 16.7 % is what 2 blocks would give
    study = kernel(config_study(SMALL, 0, 4))
    found = infer_active(study, [launch(SMALL=200)], profile(200, warps=16.6))
    assert found.candidates == (SMALL,)
    (text,) = found.findings
    assert "2 blocks per SM" in text
    assert "toolchain" in text


def test_more_active_warps_than_fit_are_a_finding_and_narrow_nothing() -> None:
    found = infer_active(STUDY, [LAUNCH], profile(200, warps=66.0))
    assert found.candidates == (SMALL, SMALL_DEEP)
    assert "66.0 % active warps" in found.findings[0]


def test_a_config_that_cannot_be_launched_was_not_active() -> None:
    study = kernel(config_study(LARGE, 0), config_study(HUGE, 1, fits=False))
    found = infer_active(study, [launch(LARGE=100, HUGE=100)], profile(100))
    assert found.candidates == (LARGE,)
    assert "1 of 2 configs cannot be launched" in found.reason


def test_a_config_whose_compile_took_too_long_may_have_been_active() -> None:
    late = CompileFailed(HUGE, "as called", "still compiling after 45 s", "timeout")
    study = kernel(config_study(LARGE, 0), ConfigStudy(HUGE, (CompiledView(late),)))
    found = infer_active(study, [launch(LARGE=100, HUGE=100)], profile(100))
    assert found.candidates == (LARGE, HUGE)
    assert not found.certain


def test_a_config_that_the_compiler_refuses_was_not_active() -> None:
    refused = CompileFailed(HUGE, "as called", "out of range", "error")
    study = kernel(config_study(LARGE, 0), ConfigStudy(HUGE, (CompiledView(refused),)))
    assert infer_active(study, [launch(LARGE=100, HUGE=100)], profile(100)).candidates == (LARGE,)


class TestActiveWarps:
    """On an RTX 4090: 128 SMs of 48 warps."""

    SHEET = find_gpu("RTX 4090")
    TWO_WARPS = Config.of({"TILE": 16}, 2, 2)
    FOUR_WARPS = Config.of({"TILE": 32}, 4, 2)
    EIGHT_WARPS = Config.of({"TILE": 64}, 8, 2)

    def infer(self, blocks: int, warps: float, *studies: ConfigStudy) -> ActiveInference:
        traced = tuple(TracedConfig(study.config, (blocks,)) for study in studies)
        found = kernel(*(with_blocks(study, blocks) for study in studies))
        launches = [Launch("kernel", 0, {}, traced, True)]
        return infer_active(found, launches, profile(blocks, warps=warps), sheet=self.SHEET)

    def test_a_short_grid_bounds_the_warps_of_small_blocks(self) -> None:
        # 1,024 blocks are 8 an SM: 16 of 48 warps with two a block, 32 with four
        found = self.infer(
            1024, 87.0, config_study(self.TWO_WARPS, 0, 24), config_study(self.FOUR_WARPS, 1, 12),
            config_study(self.EIGHT_WARPS, 2, 6),
        )  # fmt: skip
        assert found.candidates == (self.EIGHT_WARPS,)
        assert "more than 2 of 3 can have" in found.reason
        assert "tie" not in found.reason

    def test_occupancy_counts_only_as_far_as_the_grid_fills_it(self) -> None:
        # 16 blocks are one an SM, though three would fit
        found = self.infer(
            16, 8.33, config_study(self.FOUR_WARPS, 0, 3), config_study(self.EIGHT_WARPS, 1, 3)
        )
        assert found.candidates == (self.FOUR_WARPS,)
        assert "a tie is broken" in found.reason

    def test_a_last_round_that_is_short_leaves_the_tie(self) -> None:
        # 8 warps: 6 blocks an SM, 1,024 are 1.33 rounds, from 66.7 % on; 4 warps: 66.7 % at most
        found = self.infer(
            1024, 64.5, config_study(self.FOUR_WARPS, 0, 12), config_study(self.EIGHT_WARPS, 1, 6)
        )
        assert found.candidates == (self.FOUR_WARPS, self.EIGHT_WARPS)

    @pytest.mark.parametrize(("measured", "certain"), [(41.55, True), (37.4, False)])
    def test_whole_blocks_tell_where_no_binary_of_ours_fits(
        self, measured: float, certain: bool
    ) -> None:
        # 41.67 % is five blocks of four warps, and two and a half of eight
        found = self.infer(
            76_296, measured, config_study(self.FOUR_WARPS, 0, 3), config_study(self.EIGHT_WARPS, 1)
        )
        assert found.certain is certain
        assert ("whole number of blocks" in found.reason) is certain
        assert found.findings  # and the toolchains disagree


def test_a_grid_that_no_config_gives_is_a_finding() -> None:
    found = infer_active(STUDY, [LAUNCH], profile(77))
    assert set(found.candidates) == {SMALL, SMALL_DEEP, LARGE}
    assert not found.known
    assert "launch__grid_size 77" in found.findings[0]
    assert "100, 200" in found.findings[0]


def test_several_profiled_launches_must_all_fit() -> None:
    launches = [LAUNCH, launch(SMALL=50, SMALL_DEEP=50, LARGE=25)]
    assert infer_active(STUDY, launches, profile(100, 25)).candidates == (LARGE,)
    # the tuner may choose another config for the second launch
    assert set(infer_active(STUDY, launches, profile(100, 50)).candidates) == {
        SMALL,
        SMALL_DEEP,
        LARGE,
    }


def test_without_shapes_the_grids_formula_may_rule_configs_out() -> None:
    possible = {SMALL: False, SMALL_DEEP: False, LARGE: True}
    found = infer_active(STUDY, (), profile(100), possible)
    assert found.candidates == (LARGE,)
    assert "shapes are unknown" in found.reason


def test_without_shapes_nothing_is_made_up() -> None:
    found = infer_active(STUDY, (), profile(100))
    assert not found.known
    assert found.activity(SMALL) is Activity.UNKNOWN


def test_without_a_profile_only_a_single_config_is_active() -> None:
    assert infer_active(STUDY, [LAUNCH]).activity(SMALL) is Activity.UNKNOWN
    single = infer_active(kernel(config_study(SMALL, 0)))
    assert single.activity(SMALL) is Activity.ACTIVE
    assert single.reason == "the only config"


def test_a_profile_without_the_metrics_tells_nothing() -> None:
    found = infer_active(STUDY, [LAUNCH], KernelProfile("kernel", ({},)))
    assert found.activity(LARGE) is Activity.UNKNOWN


class TestPadding:
    def test_a_tile_that_only_masks_more_is_not_taken_to_be_active(self):
        study = kernel(config_study(SMALL, 0), config_study(LARGE, 1))
        padded = {LARGE: frozenset({SMALL})}
        told = infer_active(study, [launch(SMALL=8, LARGE=8)], profile(8), padded=padded)
        assert told.candidates == (SMALL,)
        assert "a tie is broken by padding" in told.reason

    def test_it_stays_where_the_smaller_one_was_ruled_out(self):
        study = kernel(config_study(SMALL, 0, fits=False), config_study(LARGE, 1))
        padded = {LARGE: frozenset({SMALL})}
        told = infer_active(study, [launch(SMALL=8, LARGE=8)], profile(8), padded=padded)
        assert told.candidates == (LARGE,)
        assert "padding" not in told.reason
