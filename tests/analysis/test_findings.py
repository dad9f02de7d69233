"""Findings: each is said when its evidence is there, and only then."""

from __future__ import annotations

from warpwright.analysis.findings import (
    DRAM_THROUGHPUT,
    SM_THROUGHPUT,
    kernel_findings,
    repeated_configs,
    stages_do_nothing,
)
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.types.compiled import Compiled, Occupancy, Resources, Toolchain, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.program import Kernel
from warpwright.types.request import KernelProfile
from warpwright.types.study import Activity, CompiledView, ConfigStudy, Finding, KernelStudy

TOOLS = Toolchain("3.7.1", "12.8.93")
PROGRAM = """
import triton
import triton.language as tl


@triton.jit
def product(a, b, c, K, BLOCK: tl.constexpr):
    acc = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    for k in {loop}(0, K, BLOCK):
        acc += tl.dot(tl.load(a + k), tl.load(b + k))
    tl.store(c, acc)


def launch(a, b, c):
    product[(1,)](a, b, c, 64, BLOCK=16)
"""


def source(loop: str = "range") -> Kernel:
    kernel = read_program(PROGRAM.format(loop=loop)).kernel("product")
    assert kernel is not None
    return kernel


def config(
    stages: int = 2,
    binary: str = "a",
    *,
    tile: int = 16,
    occupancy_pct: float = 33.3,
    local_bytes: int = 0,
    mma: int = 8,
    broken: Unlaunchable | None = None,
    activity: Activity = Activity.ACTIVE,
) -> ConfigStudy:
    of = Config.of({"BLOCK": tile}, 4, stages)
    resources = Resources(128, 0, local_bytes, 12288, 128)
    result = Compiled(of, "as called", resources, binary, TOOLS, {"mma": mma})
    fits = Occupancy(4, 16, occupancy_pct, ("registers",), {"registers": 4, "warps": 12})
    view = CompiledView(result, fits, () if broken is None else (broken,))
    return ConfigStudy(of, (view,), activity=activity)


def found(
    *configs: ConfigStudy, loop: str = "range", profile: KernelProfile | None = None
) -> dict[str, Finding]:
    study = KernelStudy("product", True, configs)
    findings = kernel_findings(source(loop), study, profile, find_gpu("RTX 4090"))
    return {finding.id: finding for finding in findings}


def test_static_range_makes_num_stages_a_no_op_and_the_compiler_agrees() -> None:
    said = found(config(1), config(2), loop="tl.static_range")["static-range"]
    assert "num_stages does nothing" in said.text
    assert "byte-equal" in said.text


def test_a_loop_that_the_compiler_can_pipeline_is_not_blamed() -> None:
    assert "static-range" not in found(config(1), config(2, "b"))


def test_byte_equality_is_not_claimed_where_binaries_differ() -> None:
    said = found(config(1, "a"), config(2, "b"), loop="tl.static_range")["static-range"]
    assert "byte-equal" not in said.text


def test_equal_binaries_are_counted() -> None:
    said = found(config(1), config(2), config(2, "b", tile=32))["equal-binaries"]
    assert "3 configs are 2 binaries" in said.text
    assert "equal-binaries" not in found(config(1, "a"), config(2, "b"))


def test_a_config_that_stands_twice_in_its_list_is_named() -> None:
    tuned = PROGRAM.format(loop="range").replace(
        "@triton.jit", "@triton.autotune([{configs}], key=['K'])\n@triton.jit"
    )
    one, other = "triton.Config({{'BLOCK': {0}}}, num_warps=4{1})", ", num_stages=3"
    lists = {
        "repeated": [one.format(16, ""), one.format(32, ""), one.format(16, other)],
        "distinct": [one.format(16, ""), one.format(32, "")],
    }
    said = {}
    for name, listed in lists.items():
        kernel = read_program(tuned.replace("{configs}", ", ".join(listed))).kernel("product")
        assert kernel is not None
        said[name] = repeated_configs(kernel)
    (finding,) = said["repeated"]
    assert "BLOCK=16 warps=4 stages=3 stands in its list more than once" in finding.text
    assert "1 config of 3" in finding.text
    assert said["distinct"] == []


def test_one_config_given_twice_says_nothing_of_num_stages() -> None:
    once, again = config(2), config(2)
    assert not stages_do_nothing(KernelStudy("product", True, (once, again)))
    assert stages_do_nothing(KernelStudy("product", True, (once, config(3))))


def test_a_config_over_a_limit_is_named_with_both_numbers() -> None:
    over = Unlaunchable("shared memory per block", 163840, 101376, "B")
    said = found(config(), config(3, "b", broken=over))["never-launches"]
    assert "163,840" in said.text
    assert "101,376" in said.text


def test_the_cap_of_the_active_config_is_named_with_its_number() -> None:
    said = found(config(), config(3, "b", activity=Activity.INACTIVE))["occupancy-cap"]
    assert "33.3 %" in said.text
    assert "128 registers a thread" in said.text


def test_a_profile_far_from_its_roofs_is_read_as_waiting_and_no_further() -> None:
    waiting = KernelProfile("product", ({SM_THROUGHPUT: 42.0, DRAM_THROUGHPUT: 5.0},))
    near = KernelProfile("product", ({SM_THROUGHPUT: 42.0, DRAM_THROUGHPUT: 91.0},))
    assert "waiting" in found(config(), profile=waiting)["profile-reading"].text
    assert "near the roof of DRAM" in found(config(), profile=near)["profile-reading"].text
    assert "profile-reading" not in found(config())


def test_spills_and_missing_tensor_cores_are_seen() -> None:
    assert "64 B" in found(config(local_bytes=64))["spills"].text
    assert "no-tensor-cores" in found(config(mma=0))
    assert {"spills", "no-tensor-cores"}.isdisjoint(found(config()))
