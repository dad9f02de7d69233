"""Causes that a profile or occupancy shows: a roof reached, or time spent waiting."""

from __future__ import annotations

from warpwright.analysis.cause_case import (
    DRAM_THROUGHPUT,
    L2_HIT_RATE,
    NEAR_ROOF_PCT,
    SM_THROUGHPUT,
    WARPS_ACTIVE,
    CauseCase,
    make_cause,
    throughput_evidence,
)
from warpwright.costmodel.occupancy import REGISTERS, SHARED_MEMORY
from warpwright.data.predicates import HIGH_MEMORY_STALL_PCT, LOW_OCCUPANCY_PCT
from warpwright.types.evidence import Origin
from warpwright.types.study import Cause, ConfigStep, Evidence

REPEATED_LOADS = 4.0
"""From so many times its bytes on, what a kernel asks for is served by caches mostly."""
LOW_DRAM_PCT = 50.0
HIGH_L2_HIT_PCT = 80.0
MOVES_BY_LIMITER = {
    REGISTERS: (ConfigStep.MORE_WARPS, ConfigStep.SMALLER_TILE),  # the same tile on more threads
    SHARED_MEMORY: (ConfigStep.FEWER_STAGES, ConfigStep.SMALLER_TILE),
    "blocks": (ConfigStep.MORE_WARPS,),
}


def memory_roof(case: CauseCase) -> Cause | None:
    """DRAM throughput near its peak."""
    dram, sm = case.stated(DRAM_THROUGHPUT), case.stated(SM_THROUGHPUT)
    if dram is None or dram < NEAR_ROOF_PCT or (sm is not None and sm > dram):
        return None
    evidence = [Evidence(f"{dram:.0f} % DRAM throughput", Origin.STATED)]
    floor = case.config.floors[:1] if case.config else ()
    for launch in floor:
        work = launch.work
        if work.read_bytes is not None and work.written_bytes is not None:
            moved = (work.read_bytes + work.written_bytes) / 1e6
            text = f"its tensors are {moved:,.1f} MB, each counted once"
            evidence.append(Evidence(text, Origin.PREDICTED))
    return make_cause(
        "memory-bound",
        case,
        "DRAM bandwidth is nearly used up. Only fewer bytes make it faster: warps and stages "
        "cannot.",
        tuple(evidence),
        dram,
        unknown=("whether all those bytes are needed: the profile counts what moved",),
    )


def compute_roof(case: CauseCase) -> Cause | None:
    """SM throughput near its peak."""
    dram, sm = case.stated(DRAM_THROUGHPUT), case.stated(SM_THROUGHPUT)
    if sm is None or sm < NEAR_ROOF_PCT or (dram is not None and dram >= sm):
        return None
    return make_cause(
        "sm-bound",
        case,
        "The SMs are nearly used up by some unit of theirs. Only fewer instructions make it "
        "faster: warps and stages can win little.",
        (Evidence(f"{sm:.0f} % SM throughput", Origin.STATED),),
        sm,
        unknown=("which unit it is: tensor cores, load and store, or ordinary arithmetic",),
    )


def memory_stalls(case: CauseCase) -> Cause | None:
    """Warps that wait for loads, by the profile's own stall reasons."""
    found = case.stall_pct
    if found is None or found[1] < HIGH_MEMORY_STALL_PCT:
        return None
    name, value = found
    return make_cause(
        "waits-for-loads",
        case,
        "Warps wait for loads from L2 or DRAM. More loads in flight hide that: more stages where "
        "the loop is pipelined, or more warps.",
        (Evidence(f"{value:.0f} % of {name}", Origin.STATED),),
        value,
        unknown=("which load it is: the profile has no source lines",),
        moves=(ConfigStep.MORE_STAGES, ConfigStep.MORE_WARPS),
    )


def low_occupancy(case: CauseCase) -> Cause | None:
    """Few warps to hide latency with, and no roof near; capped by what the binary uses."""
    compiled, view = case.compiled, case.view
    if compiled is None or view is None or view.occupancy is None:
        return None
    fits, partitions = view.occupancy, case.sheet.limits.sub_partitions
    active = case.stated(WARPS_ACTIVE)
    lowest = fits.occupancy_pct if active is None else active
    if lowest >= LOW_OCCUPANCY_PCT or (case.roof_pct or 0.0) >= NEAR_ROOF_PCT:
        return None
    if case.on_tensor_cores and not _waits(case) and fits.warps_per_sm >= partitions:
        return None  # a tile on tensor cores lives on few warps: one a partition keeps them fed
    used = compiled.resources
    caps = ", ".join(f"{name} allow {fits.limits[name]}" for name in fits.limiters)
    evidence = [
        Evidence(
            f"{fits.warps_per_sm} warps an SM, {fits.occupancy_pct:.1f} % occupancy: {caps} blocks "
            f"({used.registers_per_thread} registers a thread, {used.shared_bytes:,} B of shared "
            "memory)",
            Origin.COMPILED,
        )
    ]
    if active is not None:
        evidence.append(Evidence(f"{active:.1f} % of the warps active", Origin.STATED))
    unknown = ["whether more warps would help: occupancy alone says little about time"]
    if case.stall_pct is None:
        unknown.append("what the warps wait for: the profile has no stall reasons")
    moves = [move for name in fits.limiters for move in MOVES_BY_LIMITER.get(name, ())]
    normal = ""
    if case.tile_is_large:
        moves = [move for move in moves if move is not ConfigStep.SMALLER_TILE]
        normal = " One or two blocks an SM are normal for a large tile on tensor cores."
    return make_cause(
        "few-warps",
        case,
        "Few warps share an SM, so there is little to switch to while one waits; "
        f"{' and '.join(fits.limiters)} cap them.{normal}",
        (*evidence, *throughput_evidence(case)),
        min(case.unexplained_pct, 100.0 - lowest),
        unknown=(*unknown, *case.doubt),
        moves=tuple(dict.fromkeys(moves)),
    )


def _waits(case: CauseCase) -> bool:
    """Whether a profile shows that the time goes to waiting: both roofs are far."""
    return case.roof_pct is not None and case.roof_pct < NEAR_ROOF_PCT


def cache_traffic(case: CauseCase) -> Cause | None:
    """Loads that ask for the same bytes many times: L1 and L2 serve them, DRAM idles."""
    config = case.config
    if config is None or not config.floors or (case.roof_pct or 0.0) >= NEAR_ROOF_PCT:
        return None
    work = config.floors[0].work
    if not work.loaded_bytes or not work.read_bytes:
        return None
    ratio = work.loaded_bytes / work.read_bytes
    hit, dram = case.stated(L2_HIT_RATE), case.stated(DRAM_THROUGHPUT)
    speaks_against = (hit is not None and hit < HIGH_L2_HIT_PCT) or (
        dram is not None and dram > LOW_DRAM_PCT
    )
    if ratio < REPEATED_LOADS or speaks_against:
        return None
    text = (
        f"its loads ask for {work.loaded_bytes / 1e6:,.0f} MB, {ratio:.0f} times the "
        f"{work.read_bytes / 1e6:,.1f} MB of its inputs"
    )
    evidence = [Evidence(text, Origin.PREDICTED)]
    if hit is not None:
        evidence.append(Evidence(f"{hit:.0f} % L2 hits", Origin.STATED))
    return make_cause(
        "cache-traffic",
        case,
        "Blocks load the same bytes again and again, so L1 and L2 may be what it waits for. "
        + (
            "Its tile fills an SM already: another order of blocks (in groups) asks L2 for less."
            if case.tile_is_large
            else "A larger tile or another order of blocks asks for less."
        ),
        (*evidence, *throughput_evidence(case)),
        case.unexplained_pct * (1.0 - 1.0 / ratio) / 2,  # L1 serves an unknown part
        unknown=(
            "how much of it L1 serves, and L2's rate: the sheet has none",
            "masked lanes are counted as loads",
        ),
        moves=() if case.tile_is_large else (ConfigStep.LARGER_TILE,),
    )
