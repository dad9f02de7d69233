"""When counts speak for a program, and when they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.costmodel.count_criterion import compare_counts
from warpwright.types.compiled import Toolchain
from warpwright.types.counts import LaunchCounts, ProgramCounts

TOOLS = Toolchain("3.7.1", "12.8")


def program(
    instructions: float | None = 1000.0,
    sectors: float | None = 1000.0,
    moved: float | None = 32_000.0,
    occupancy: float | None = 50.0,
    spills: int | None = 0,
    unknown: tuple[str, ...] = (),
    operations: dict[str, int] | None = None,
) -> ProgramCounts:
    counts = LaunchCounts(instructions, sectors, moved, unknown=unknown)
    return ProgramCounts(counts, {"k": occupancy}, {"k": spills}, operations or {}, TOOLS)


@pytest.mark.parametrize(
    ("after", "accepted"),
    [
        (program(), False),
        (program(instructions=900), True),
        (program(instructions=901), False),
        (program(sectors=900), True),
        (program(instructions=800, sectors=1004), True),
        (program(instructions=800, sectors=1006), False),
        (program(instructions=1006, sectors=100), False),
        (program(occupancy=66.0), True),
        (program(instructions=1006, occupancy=66.0), False),
        (program(instructions=500, occupancy=33.0), False),
        (program(instructions=500, sectors=600, occupancy=33.0), True),
        (program(instructions=500, sectors=700, occupancy=33.0), False),
        (program(instructions=500, spills=4), False),
        (program(instructions=500, moved=32_700.0), False),
        (program(instructions=500, moved=32_600.0), True),
    ],
)
def test_neither_count_may_grow_and_something_must_gain(
    after: ProgramCounts, accepted: bool
) -> None:
    assert compare_counts(program(), after).accepted is accepted


@pytest.mark.parametrize(
    ("after", "missing"),
    [
        (program(instructions=None), "executed instructions, after"),
        (program(sectors=None), "sectors, after"),
        (program(instructions=1, moved=None), "bytes requested, after"),
        (program(instructions=1, occupancy=None), "occupancy, after"),
        (program(instructions=1, spills=None), "spills, after"),
        (program(instructions=1, unknown=("how often a loop runs",)), "how often a loop runs"),
    ],
)
def test_what_is_unknown_is_named_and_never_accepted(after: ProgramCounts, missing: str) -> None:
    verdict = compare_counts(program(), after)
    assert not verdict.accepted
    assert any(missing in line for line in verdict.unknown)


def test_code_of_two_toolchains_is_not_compared() -> None:
    other = replace(program(instructions=10), toolchain=Toolchain("3.8.0", "12.9"))
    assert not compare_counts(program(), other).accepted


def test_host_copies_count_and_must_be_known_where_the_host_code_differs() -> None:
    packed = program(instructions=500, operations={"Tensor.contiguous": 1})
    assert compare_counts(program(), packed).unknown
    assert compare_counts(program(), packed, added_host_bytes=600).accepted
    assert not compare_counts(program(), packed, added_host_bytes=700).accepted


def test_a_copy_less_is_a_gain_where_the_kernels_do_no_more() -> None:
    without = program(operations={})
    assert compare_counts(program(), without, added_host_bytes=-2e6).reasons[0] == (
        "the host code copies 2.0 MB less in each call"
    )
    assert compare_counts(program(), without, added_host_bytes=-2e6).accepted
    assert not compare_counts(program(), without, added_host_bytes=0.0).accepted
    more = program(instructions=1010)
    assert not compare_counts(program(), more, added_host_bytes=-2e6).accepted


def test_on_faster_units_a_share_of_the_occupancy_may_go() -> None:
    before, after = program(occupancy=50.0), program(instructions=100, occupancy=25.0)
    assert not compare_counts(before, after).accepted
    assert compare_counts(before, after, least_occupancy=0.5).accepted
    assert not compare_counts(before, after, least_occupancy=0.6).accepted


def test_a_lower_occupancy_of_one_kernel_counts_although_another_is_lower_still() -> None:
    both = {"k": 50.0, "slow": 10.0}
    before = replace(program(), occupancy_pct=both)
    after = replace(program(instructions=10), occupancy_pct={**both, "k": 40.0})
    verdict = compare_counts(before, after)
    assert not verdict.accepted
    assert any("lower occupancy of k: 50.0 → 40.0 %" in line for line in verdict.reasons)


def test_reasons_give_both_counts_before_and_after() -> None:
    verdict = compare_counts(program(), program(instructions=600))
    assert verdict.reasons == (
        "fewer executed instructions: 1,000 → 600 (-40.0 %)",
        "sectors: 1,000 → 1,000 (+0.0 %)",
    )
    assert verdict.toolchain == TOOLS
