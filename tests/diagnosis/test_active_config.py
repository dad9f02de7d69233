"""Which config a profile was taken with: what is known, what is not, and what disagrees."""

from __future__ import annotations

from warpwright.diagnosis.active_config import GRID_SIZE, WARPS_ACTIVE, infer_active
from warpwright.types.compiled import Compiled, Occupancy, Resources, Toolchain, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.request import KernelProfile
from warpwright.types.study import Activity, CompiledView, ConfigStudy, KernelStudy
from warpwright.types.trace import Launch, TracedConfig

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
