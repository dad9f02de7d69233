"""Causes: ranked by what they can explain, with unknowns, and acted on by the proposer."""

from __future__ import annotations

from dataclasses import replace

from warpwright.analysis.cause_case import DRAM_THROUGHPUT, SM_THROUGHPUT, CauseCase
from warpwright.analysis.causes import kernel_causes
from warpwright.analysis.profile_check import resource_disagreements, toolchain_finding
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.proposers.configs.steps import steps_around
from warpwright.report.config_table import config_table
from warpwright.types.compiled import Compiled, Occupancy, Resources, Toolchain, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.request import KernelProfile
from warpwright.types.study import (
    Activity,
    Cause,
    CompiledView,
    ConfigStep,
    ConfigStudy,
    KernelStudy,
)
from warpwright.types.work import LaunchFloor, LaunchWork

SHEET = find_gpu("RTX 4090")
STALL = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"
PROGRAM = """
import triton
import triton.language as tl


@triton.jit
def walk(p, q, n, BLOCK: tl.constexpr):
    for i in {loop}(0, n, BLOCK):
        tl.store(q + i, tl.load(p + i))


def launch(p, q):
    walk[(1,)](p, q, 64, BLOCK=16)
"""


def config(
    stages: int = 2, binary: str = "a", *, tile: int = 16, blocks: int | None = None,
    spill: int = 0, broken: tuple[Unlaunchable, ...] = (),
) -> ConfigStudy:  # fmt: skip
    of = Config.of({"BLOCK": tile}, 4, stages)
    result = Compiled(
        of, "as called", Resources(180, 0, spill, 4096, 128), binary, Toolchain("3.7.1")
    )
    fits = Occupancy(2, 8, 16.7, ("registers",), {"registers": 2, "warps": 12})
    view = CompiledView(result, fits, broken)
    grid = None if blocks is None else (blocks,)
    number = ord(binary) - ord("a")
    return ConfigStudy(of, (view,), number, grid, blocks, Activity.ACTIVE)


def on_tensor_cores(study: ConfigStudy, blocks: int = 2) -> ConfigStudy:
    (view,) = study.compiled
    assert isinstance(view.result, Compiled)
    result = replace(view.result, facts={"mma": 64})
    fits = Occupancy(
        blocks, 4 * blocks, 8.3 * blocks, ("shared memory",), {"shared memory": blocks}
    )
    return replace(study, compiled=(replace(view, result=result, occupancy=fits),))


def loading(study: ConfigStudy, megabytes: int, compute_us: float = 10.0) -> ConfigStudy:
    """With a floor: its loads ask for so many MB of one of inputs."""
    work = LaunchWork({}, 10**6, 10**6, loaded_bytes=megabytes * 10**6)
    floor = LaunchFloor(1, work, compute_us, 1.0, compute_us, "compute")
    return replace(study, floors=(floor,))


def causes(
    *configs: ConfigStudy, loop: str = "range", cc: tuple[int, int] = (8, 9), **metrics: float
) -> dict[str, Cause]:
    names = {"sm": SM_THROUGHPUT, "dram": DRAM_THROUGHPUT, "stall": STALL}
    stated = {names[name]: value for name, value in metrics.items()}
    source = read_program(PROGRAM.format(loop=loop)).kernels[0]
    study = KernelStudy("walk", True, configs)
    sheet = replace(SHEET, compute_capability=cc)
    profile = KernelProfile("walk", (stated,)) if stated else None
    found = kernel_causes(CauseCase(source, study, sheet, profile))
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    return {cause.id: cause for cause in found}


def test_few_warps_are_laid_to_what_caps_them_and_not_near_a_roof() -> None:
    said = causes(config())["few-warps"]
    assert "registers" in said.claim
    assert ConfigStep.MORE_WARPS in said.moves
    assert any("stall reasons" in text for text in said.unknown)
    assert "few-warps" not in causes(config(), sm=90.0, dram=10.0)


def test_a_roof_that_the_profile_states_comes_first_and_suggests_nothing() -> None:
    found = causes(config(spill=8), sm=30.0, dram=92.0)
    assert next(iter(found)) == "memory-bound"
    assert found["memory-bound"].moves == ()
    assert next(iter(causes(config(), sm=95.0, dram=20.0))) == "sm-bound"


def test_stated_stalls_count_in_full_and_compiled_facts_half() -> None:
    assert causes(config(), stall=40.0)["waits-for-loads"].score == 40.0
    assert "waits-for-loads" not in causes(config(), stall=10.0)
    assert causes(config(spill=8))["spills"].score == 25.0


def test_stages_are_ruled_out_only_where_nothing_is_pipelined() -> None:
    assert "idle-stages" not in causes(config())
    for found in (causes(config(), loop="tl.static_range"), causes(config(), cc=(7, 5))):
        assert ConfigStep.MORE_STAGES in found["idle-stages"].against


def test_waves_tell_few_blocks_and_a_tail() -> None:
    assert "few-blocks" in causes(config(blocks=64))
    assert "tail" in causes(config(blocks=2 * SHEET.sm_count + 1))
    assert not {"few-blocks", "tail"} & causes(config(blocks=4 * SHEET.sm_count)).keys()


def test_a_smaller_tile_is_no_advice_where_every_tile_has_the_same_grid() -> None:
    for name, blocks in (("few-blocks", 64), ("tail", 2 * SHEET.sm_count + 1)):
        active = config(blocks=blocks)
        assert ConfigStep.SMALLER_TILE in causes(active)[name].moves
        half = replace(config(tile=32, blocks=blocks // 2), activity=Activity.INACTIVE)
        assert ConfigStep.SMALLER_TILE in causes(active, half)[name].moves
        same = replace(half, grid=active.grid, blocks=blocks)
        assert ConfigStep.SMALLER_TILE not in causes(active, same)[name].moves


def test_the_proposer_makes_no_step_that_is_ruled_out_and_the_likeliest_first() -> None:
    base = config()
    plain = KernelStudy("walk", True, (base,))
    assert steps_around(plain, [base.config], 1, None)[0].num_stages == 3
    led = replace(plain, causes=tuple(causes(base, loop="tl.static_range").values()))
    steps = steps_around(led, [base.config], 1, None)
    assert steps[0].num_warps == 8
    assert {step.num_stages for step in steps} == {2}


def test_a_profile_of_another_toolchain_is_told_by_its_registers() -> None:
    study = KernelStudy("walk", True, (config(),))
    same = KernelProfile("walk", ({"launch__registers_per_thread": 180.0},))
    other = KernelProfile("walk", ({"launch__registers_per_thread": 127.0},))
    assert resource_disagreements(study, same, SHEET) == ()
    (text,) = resource_disagreements(study, other, SHEET)
    assert "127" in text and "180" in text
    tools = Toolchain("3.7.1")
    assert toolchain_finding(["Use Triton 3.3.1"], tools) is not None
    assert toolchain_finding(["Use Triton 3.7"], tools) is None


def test_the_table_keeps_its_width_and_says_why_a_config_never_runs() -> None:
    over = (Unlaunchable("shared memory per block", 163840, 101376, "B"),)
    study = KernelStudy("walk", True, (config(), config(3), config(4, "b", broken=over)))
    for width in (80, 120, 150):
        table = config_table(study, SHEET.sm_count, width)
        lines = [table.header, *(text for text, _ in table.lines)]
        assert max(map(len, lines)) <= width
        assert any("163,840 B shared > 101,376 B" in line for line in lines)
        assert any(set(line) == {"─"} for line in lines)


def test_few_warps_are_normal_for_a_tile_on_tensor_cores_unless_a_profile_shows_waiting() -> None:
    large = on_tensor_cores(config())
    assert "few-warps" not in causes(large)
    said = causes(large, sm=30.0, dram=20.0)["few-warps"]
    assert "normal for a large tile on tensor cores" in said.claim
    assert ConfigStep.SMALLER_TILE not in said.moves


def test_a_tile_that_fills_an_sm_is_not_told_to_grow() -> None:
    small = causes(loading(on_tensor_cores(config(), blocks=5), 64))["cache-traffic"]
    large = causes(loading(on_tensor_cores(config(), blocks=1), 64))["cache-traffic"]
    assert small.moves == (ConfigStep.LARGER_TILE,)
    assert large.moves == ()
    assert "larger tile" not in large.claim
    assert "order of blocks" in large.claim


def test_no_two_causes_ask_for_a_smaller_and_a_larger_tile() -> None:
    said = causes(loading(config(spill=64), 64))
    moves = {move for cause in said.values() for move in cause.moves}
    assert ConfigStep.SMALLER_TILE in moves
    assert ConfigStep.LARGER_TILE not in moves
    assert "cache-traffic" not in said  # a larger tile was all it had to say
    assert "cache-traffic" in causes(loading(on_tensor_cores(config(), blocks=5), 64))


def test_the_likely_best_config_is_spoken_of_not_the_first_listed() -> None:
    unknown = [
        replace(loading(config(tile=16, spill=32), 4), activity=Activity.UNKNOWN),
        replace(loading(config(binary="b", tile=32), 64), activity=Activity.UNKNOWN),
        replace(loading(config(binary="c", tile=64), 16), activity=Activity.UNKNOWN),
    ]
    study = KernelStudy("walk", True, tuple(unknown))
    assert study.spoken_of is unknown[2]
    assert "spills" not in causes(*unknown)
    active = [replace(unknown[0], activity=Activity.ACTIVE), *unknown[1:]]
    assert KernelStudy("walk", True, tuple(active)).spoken_of is active[0]
