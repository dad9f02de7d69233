"""The words of the stages as predicates: nearby, oversized, unstable, clearly low, ...

Pure functions of numbers; `docs/stages-and-rules.md` is their one description. A predicate whose
number is missing answers None, "unknown", which is never taken for yes or no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpwright.types.config import Config

LOW_OCCUPANCY_PCT = 50.0
"""Under this share of active warps, occupancy suggests another num_warps."""
LOW_SM_THROUGHPUT_PCT = 60.0
"""Under this sm__throughput, SM utilisation is clearly low."""
HIGH_MEMORY_STALL_PCT = 20.0
"""From this share of warps stalled on memory on, memory stalls are high."""
OVERSIZED_MASKED_PCT = 50.0
"""Above this share of masked elements in one dimension, a tile is oversized."""
NEARBY_WARPS_FACTOR = 2
NEARBY_STAGES = 1
NEARBY_BLOCK_FACTOR = 2


def _within_factor(one: int, other: int, factor: int) -> bool:
    return one * factor >= other and other * factor >= one


def _nearby_blocks(config: Config, original: Config) -> bool:
    """Same meta-parameters by name; integers within a factor of 2, anything else equal."""
    ours, theirs = config.meta_dict, original.meta_dict
    if ours.keys() != theirs.keys():
        return False
    for name, value in ours.items():
        other = theirs[name]
        are_sizes = type(value) is int and type(other) is int and min(value, other) > 0
        if are_sizes and isinstance(value, int) and isinstance(other, int):
            if not _within_factor(value, other, NEARBY_BLOCK_FACTOR):
                return False
        elif value != other:
            return False
    return True


def is_nearby(config: Config, original: Config, *, axis: str | None = None) -> bool:
    """Same meta-parameters, num_ctas and maxnreg, num_warps within a factor of 2, num_stages
    within 1.

    With `axis="blocks"` integer meta-parameters may differ by a factor of 2 as well.
    """
    same_meta = (
        _nearby_blocks(config, original) if axis == "blocks" else (config.meta == original.meta)
    )
    return (
        same_meta
        and _within_factor(config.num_warps, original.num_warps, NEARBY_WARPS_FACTOR)
        and abs(config.num_stages - original.num_stages) <= NEARBY_STAGES
        and (config.num_ctas, config.maxnreg) == (original.num_ctas, original.maxnreg)
    )


def occupancy_suggests_warps(
    *,
    warps_active_pct: float | None,
    occupancy_pct: float | None,
    changed_launches: bool,
    changed_spills_more: bool,
    changed_occupancy_pct: float | None,
) -> bool | None:
    """Whether occupancy suggests to change num_warps from a config to a changed one.

    Under 50 % of the warps are active (`warps_active_pct`, measured; without it the config's
    compiled `occupancy_pct`), and the changed config launches, spills no more, and has at least
    the compiled occupancy of the original. None where one of the numbers is missing.
    """
    active_pct = occupancy_pct if warps_active_pct is None else warps_active_pct
    if active_pct is not None and active_pct >= LOW_OCCUPANCY_PCT:
        return False
    if not changed_launches or changed_spills_more:
        return False
    if active_pct is None or occupancy_pct is None or changed_occupancy_pct is None:
        return None
    return changed_occupancy_pct >= occupancy_pct


def sm_utilization_is_clearly_low(sm_throughput_pct: float | None) -> bool | None:
    """Measured sm__throughput under 60 %; None without a measurement."""
    return None if sm_throughput_pct is None else sm_throughput_pct < LOW_SM_THROUGHPUT_PCT


def memory_stalls_are_high(long_scoreboard_pct: float | None) -> bool | None:
    """Measured share of warps stalled on memory of 20 % or more; None without a measurement."""
    return None if long_scoreboard_pct is None else long_scoreboard_pct >= HIGH_MEMORY_STALL_PCT


def registers_match(
    *,
    registers_per_thread: int | None,
    spill_bytes: int | None = None,
    limiters: tuple[str, ...] | None = None,
    registers_below: int | None = None,
    registers_above: int | None = None,
    no_spill: bool = False,
    register_limited: bool = False,
) -> bool | None:
    """Whether the register condition of a `num_warps.when`/`num_stages.when` rule holds.

    `registers_above` and `register_limited` are alternatives; everything else must hold at once.
    None where a number that decides is missing.
    """
    answers: list[bool | None] = []
    if registers_below is not None:
        answers.append(
            None if registers_per_thread is None else registers_per_thread < registers_below
        )
    if no_spill:
        answers.append(None if spill_bytes is None else spill_bytes == 0)
    either: list[bool | None] = []
    if registers_above is not None:
        either.append(
            None if registers_per_thread is None else registers_per_thread > registers_above
        )
    if register_limited:
        either.append(None if limiters is None else "registers" in limiters)
    if either:
        answers.append(True if True in either else None if None in either else False)
    return False if False in answers else None if None in answers else True


def masked_pct(extent: int, block: int) -> float:
    """Share of a dimension's tile elements that no element of the problem fills, 0..100.

    `extent` elements are covered by ⌈extent / block⌉ tiles of `block` elements.
    """
    if extent <= 0 or block <= 0:
        raise ValueError("extent and block must be positive")
    covered = -(-extent // block) * block
    return 100.0 * (covered - extent) / covered


def is_oversized(
    extents: Mapping[str, int], blocks: Mapping[str, int], *, spill_bytes: int | None = None
) -> bool | None:
    """Whether a tile is oversized: more than half masked in some dimension, or it spills.

    Dimensions by name, matched between `extents` and `blocks`. None where neither a spill nor a
    known dimension says yes and something is unknown.
    """
    shared = extents.keys() & blocks.keys()
    if spill_bytes is not None and spill_bytes > 0:
        return True
    if any(masked_pct(extents[name], blocks[name]) > OVERSIZED_MASKED_PCT for name in shared):
        return True
    return None if spill_bytes is None or blocks.keys() - shared else False


def is_unstable(gain_low_pct: float, gain_high_pct: float, noise_floor_pct: float = 0.0) -> bool:
    """Whether the interval of a gain reaches into the noise: [-floor, floor], 0 at least.

    `noise_floor_pct` is what an A/A run (a program against itself) shows as a gain.
    """
    if gain_low_pct > gain_high_pct or noise_floor_pct < 0:
        raise ValueError("the interval or the noise floor is malformed")
    return gain_low_pct <= noise_floor_pct and gain_high_pct >= -noise_floor_pct


def gain_counts(gain_pct: float, *, low_pct: float, high_pct: float, is_significant: bool) -> bool:
    """Whether a gain reaches a request's minimum: at least `high_pct`, or at least `low_pct` and
    significant."""
    return gain_pct >= high_pct or (gain_pct >= low_pct and is_significant)


def either(answers: Sequence[bool | None]) -> bool | None:
    """True if one is, None if one is unknown and none is true, else False."""
    if True in answers:
        return True
    return None if None in answers else False
