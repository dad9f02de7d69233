"""Rules with a condition: false refuses, unknown is not verified and not refused."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.types.compiled import Occupancy
from warpwright.types.config import Config
from warpwright.types.request import KernelProfile, Profile
from warpwright.types.stage import MetricTarget, ProgramKind, Rule, Stage, StageId
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules
from warpwright.verifier.rules.rule_context import CompileEvidence

KERNEL = "project_kernel"
META = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32}
A, MORE_WARPS, MORE_STAGES = Config.of(META, 4, 2), Config.of(META, 8, 2), Config.of(META, 4, 3)
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"


def evidence(
    lab: ModuleType, entries: dict[Config, tuple[int, float]], limiter: str = "warps"
) -> CompileEvidence:
    """Config → (registers per thread, occupancy)."""
    return CompileEvidence(
        results={
            (KERNEL, c): lab.compiled(c, str(c), registers=r) for c, (r, _) in entries.items()
        },
        occupancy={
            (KERNEL, c): Occupancy(2, 16, pct, (limiter,), {limiter: 2})
            for c, (_, pct) in entries.items()
        },
    )


def profile(name: str, value: float | None) -> Profile:
    return Profile((KernelProfile(KERNEL, ({name: value},)),))


def checked(lab: ModuleType, new: Config, *rules: Rule, **more: object) -> CheckResult:
    metrics = more.pop("metrics", ())
    stage = Stage(StageId.TUNING, ProgramKind.SINGLE, "", rules, metrics)  # type: ignore[arg-type]
    parent = lab.with_configs(lab.MATMUL, A)
    child = lab.with_configs(lab.MATMUL, A, new)
    return check_rules(lab.context_of(parent, child, stage, **more))


@pytest.mark.parametrize(
    ("active_pct", "occupancies", "status"),
    [
        (30.0, (33.0, 33.0), Status.PASS),
        (30.0, (33.0, 17.0), Status.FAIL),
        (80.0, (33.0, 50.0), Status.FAIL),
        (None, (33.0, 50.0), Status.PASS),
        (None, (66.0, 66.0), Status.FAIL),
    ],
)
def test_warps_change_where_occupancy_suggests_it(
    lab: ModuleType, active_pct: float | None, occupancies: tuple[float, float], status: Status
) -> None:
    known = evidence(lab, {A: (64, occupancies[0]), MORE_WARPS: (64, occupancies[1])})
    result = checked(
        lab,
        MORE_WARPS,
        Rule("num_warps.only_if", {"condition": "occupancy"}),
        profile=profile(WARPS_ACTIVE, active_pct),
        parent_evidence=known,
        child_evidence=known,
    )
    assert result.status is status


def test_without_evidence_a_change_of_warps_is_not_verified_and_not_refused(
    lab: ModuleType,
) -> None:
    result = checked(lab, MORE_WARPS, Rule("num_warps.only_if", {"condition": "occupancy"}))
    assert result.status is Status.NOT_VERIFIED
    assert not result.violations
    assert any("not known whether occupancy suggests" in note for note in result.notes)


def test_stages_alone_need_no_occupancy(lab: ModuleType) -> None:
    rule = Rule("num_warps.only_if", {"condition": "occupancy"})
    assert checked(lab, MORE_STAGES, rule).status is Status.PASS


HIGH = Rule(
    "num_warps.when",
    {"value": 4, "strength": "use", "registers_above": 128, "register_limited": True},
)
LOW = Rule("num_warps.when", {"value": 8, "strength": "try", "registers_below": 96})


@pytest.mark.parametrize(
    ("registers", "limiter", "rules", "status"),
    [
        (168, "registers", (HIGH,), Status.FAIL),
        (80, "warps", (HIGH,), Status.PASS),
        (80, "registers", (HIGH,), Status.FAIL),
        (80, "registers", (HIGH, LOW), Status.PASS),  # the request asks for both: told
    ],
)
def test_a_register_condition_is_read_off_the_compile_report(
    lab: ModuleType, registers: int, limiter: str, rules: tuple[Rule, ...], status: Status
) -> None:
    known = evidence(lab, {A: (64, 50.0), MORE_WARPS: (registers, 50.0)}, limiter)
    result = checked(lab, MORE_WARPS, *rules, child_evidence=known)
    assert result.status is status, result


def test_a_register_condition_without_a_report_is_not_verified(lab: ModuleType) -> None:
    assert checked(lab, MORE_WARPS, HIGH).status is Status.NOT_VERIFIED


@pytest.mark.parametrize(
    ("stall_pct", "status"),
    [(45.0, Status.PASS), (5.0, Status.FAIL), (None, Status.NOT_VERIFIED)],
)
def test_more_stages_need_high_memory_stalls(
    lab: ModuleType, stall_pct: float | None, status: Status
) -> None:
    name = "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.pct"
    rule = Rule("num_stages.increase_only_if", {"condition": "memory stalls"})
    assert checked(lab, MORE_STAGES, rule, profile=profile(name, stall_pct)).status is status


@pytest.mark.parametrize(
    ("active_pct", "status"),
    [(30.0, Status.PASS), (70.0, Status.FAIL), (None, Status.NOT_VERIFIED)],
)
def test_a_new_tile_needs_a_metric_that_misses_its_target(
    lab: ModuleType, active_pct: float | None, status: Status
) -> None:
    rule = Rule("block_sizes.only_if", {"condition": "occupancy or reuse"})
    new = Config.of({**META, "BLOCK_M": 128}, 4, 2)
    targets = (MetricTarget(WARPS_ACTIVE, ">", 50.0),)
    given = profile(WARPS_ACTIVE, active_pct)
    assert checked(lab, new, rule, profile=given, metrics=targets).status is status


def test_a_tile_that_spills_is_oversized(lab: ModuleType) -> None:
    from dataclasses import replace

    new = Config.of({**META, "BLOCK_M": 128}, 4, 2)
    compiled = lab.compiled(new, "x")
    spilled = replace(compiled, resources=replace(compiled.resources, local_bytes=64))
    known = CompileEvidence(results={(KERNEL, new): spilled})
    result = checked(lab, new, Rule("block_sizes.not_oversized"), child_evidence=known)
    assert lab.rule_ids(result.violations) == {"block_sizes.not_oversized"}
