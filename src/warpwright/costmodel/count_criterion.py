"""Whether counts alone speak for a program: the criterion where no GPU is there to measure.

Instructions executed and sectors touched: neither more, one of them at least a tenth fewer, or a
higher occupancy, or a copy of the host code's fewer. No new spills, no occupancy that falls by more
than both counts do, and at most 2 % more bytes by kernels and host copies together. What is not
known is never taken for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpwright.types.counts import CountsVerdict, ProgramCounts

ROUNDING = 0.005  # of a count: sampled blocks, and what the compiler orders anew
LEAST_FEWER = 0.10
MOST_BYTES_MORE = 0.02


def compare_counts(
    before: ProgramCounts,
    after: ProgramCounts,
    added_host_bytes: float | None = None,
    least_occupancy: float = 1.0,
) -> CountsVerdict:
    """Judge a program's counts against those of the program that it came from (predicted).

    `added_host_bytes`: what the host code copies in each call beyond what it did before, read and
    written; below zero where it copies less. None: nothing, where both call the same torch
    functions; else it is unknown. `least_occupancy`: the share of a kernel's occupancy that must
    stay; below 1 where its arithmetic moves to units that are as many times faster.
    """
    if added_host_bytes is None and before.host_operations == after.host_operations:
        added_host_bytes = 0.0
    unknown = [
        f"{name}, {side}"
        for name, *sides in _needed(before, after)
        for side, value in zip(("before", "after"), sides, strict=True)
        if value is None
    ]
    if before.toolchain != after.toolchain:
        unknown.append("whether two toolchains' code can be compared")
    unknown += [f"{name}, before" for name in before.counts.unknown]
    unknown += [f"{name}, after" for name in after.counts.unknown]
    if added_host_bytes is None:
        unknown.append("how many bytes the host code copies beyond what it did")
    if unknown:
        return CountsVerdict(
            False,
            ("not all that decides is known",),
            tuple(dict.fromkeys(unknown)),
            after.toolchain,
        )
    against = (
        *_against(before, after, least_occupancy),
        *_heavier(before, after, added_host_bytes or 0.0),
    )
    gains = _gains(before, after, added_host_bytes or 0.0)
    if not against and not gains:
        against = ("neither count is a tenth lower, and occupancy is not higher",)
    said = (*against, *gains)
    told = [line for line in _told(before, after) if not any(line in reason for reason in said)]
    return CountsVerdict(not against, (*said, *told), (), after.toolchain)


def _needed(
    before: ProgramCounts, after: ProgramCounts
) -> list[tuple[str, float | None, float | None]]:
    one, other = before.counts, after.counts
    return [
        ("executed instructions", one.instructions, other.instructions),
        ("sectors", one.sectors, other.sectors),
        ("bytes requested", one.requested_bytes, other.requested_bytes),
        ("occupancy", lowest(before.occupancy_pct), lowest(after.occupancy_pct)),
        ("spills", total_spills(before.spill_bytes), total_spills(after.spill_bytes)),
    ]


def lowest(by_kernel: Mapping[str, float | None]) -> float | None:
    """The lowest occupancy of any kernel; None where one is unknown, or there is none."""
    values = [value for value in by_kernel.values() if value is not None]
    return min(values) if values and len(values) == len(by_kernel) else None


def total_spills(by_kernel: Mapping[str, int | None]) -> int | None:
    values = [value for value in by_kernel.values() if value is not None]
    return sum(values) if len(values) == len(by_kernel) else None


def _against(
    before: ProgramCounts, after: ProgramCounts, least_occupancy: float
) -> tuple[str, ...]:
    found = []
    work = 0.0  # what is left of the count that falls least
    for name, one, other in _needed(before, after)[:2]:
        assert one is not None and other is not None
        work = max(work, other / one if one else 1.0)
        if other > one * (1 + ROUNDING):
            found.append(f"more {name}: {_change(one, other)}")
    # fewer warps at a time are no slower where each of those has as much less to do
    least_occupancy *= min(1.0, work)
    for kernel in _shared(before.occupancy_pct, after.occupancy_pct):
        first, second = before.occupancy_pct[kernel], after.occupancy_pct[kernel]
        if first is not None and second is not None and second < first * least_occupancy:
            found.append(f"lower occupancy of {kernel}: {first:.1f} → {second:.1f} %")
    least, lesser = lowest(before.occupancy_pct), lowest(after.occupancy_pct)
    if not found and least is not None and lesser is not None and lesser < least * least_occupancy:
        found.append(f"lower occupancy: {least:.1f} → {lesser:.1f} %")
    spills, more = total_spills(before.spill_bytes), total_spills(after.spill_bytes)
    if spills is not None and more is not None and more > spills:
        found.append(f"more spills: {spills} → {more} bytes a thread")
    return tuple(found)


def _shared(one: Mapping[str, object], other: Mapping[str, object]) -> Sequence[str]:
    return [name for name in one if name in other]


def _heavier(before: ProgramCounts, after: ProgramCounts, added: float) -> tuple[str, ...]:
    moved = before.counts.requested_bytes or 0.0
    now = (after.counts.requested_bytes or 0.0) + added
    if now <= moved * (1 + MOST_BYTES_MORE):
        return ()
    return (f"more bytes by kernels and host copies: {_change(moved, now)}",)


def _gains(before: ProgramCounts, after: ProgramCounts, added: float) -> tuple[str, ...]:
    found = []
    if added < 0:
        found.append(f"the host code copies {-added / 1e6:,.1f} MB less in each call")
    for name, one, other in _needed(before, after)[:2]:
        assert one is not None and other is not None
        if other <= one * (1 - LEAST_FEWER) and one > 0:
            found.append(f"fewer {name}: {_change(one, other)}")
    least, now = lowest(before.occupancy_pct), lowest(after.occupancy_pct)
    if least is not None and now is not None and now > least:
        found.append(f"higher occupancy: {least:.1f} → {now:.1f} %")
    return tuple(found)


def _told(before: ProgramCounts, after: ProgramCounts) -> tuple[str, ...]:
    """Both counts with their change, whatever they speak for."""
    return tuple(
        f"{name}: {_change(one, other)}"
        for name, one, other in _needed(before, after)[:2]
        if one is not None and other is not None
    )


def _change(one: float, other: float) -> str:
    change = f"{100 * (other / one - 1):+.1f} %" if one else "from none"
    return f"{one:,.0f} → {other:,.0f} ({change})"
