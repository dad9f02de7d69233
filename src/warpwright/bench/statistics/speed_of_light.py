"""Faster than light: times that the card's own limits rule out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from warpwright.costmodel.roofline import RateClass, RooflineFloor, floor
from warpwright.types.gpu import GpuSheet

MARGIN = 0.9
"""Sheets round, and clocks are read to a few MHz: only 10 % under the floor is impossible."""


class Light(StrEnum):
    """What a time says beside the floor."""

    POSSIBLE = "possible"
    FLAGGED = "under the floor once: to be measured again"
    REFUSED = "under the floor in every measurement"
    UNKNOWN = "no floor is known"


def light_floor(
    operations: Mapping[RateClass, float] | None,
    read_bytes: float | None,
    written_bytes: float | None,
    sheet: GpuSheet,
    max_sm_clock_mhz: float | None = None,
) -> RooflineFloor:
    """The time that the work cannot go under when L2 is cold before it.

    Every byte read must come from memory; of the bytes written, as many as fit may still be in L2
    at the end. Arithmetic at the card's maximum clock, where the driver tells it and it is above
    the sheet's. `operations` must be those that no algorithm can spare: pass None for convolutions
    and products that Winograd's, Strassen's or an FFT's way would shorten.
    """
    moved = None
    if read_bytes is not None and written_bytes is not None:
        moved = read_bytes + max(0.0, written_bytes - (sheet.l2_bytes or 0))
    at_boost = floor(operations, moved, sheet)
    boost = sheet.boost_mhz if sheet.tensor_boost_mhz is None else sheet.tensor_boost_mhz
    if at_boost.compute_us is None or max_sm_clock_mhz is None or boost is None:
        return at_boost
    compute_us = at_boost.compute_us * min(1.0, boost / max_sm_clock_mhz)
    known = [term for term in (compute_us, at_boost.memory_us) if term is not None]
    bound = at_boost.bound
    if at_boost.memory_us is not None:
        bound = "compute" if compute_us > at_boost.memory_us else "memory"
    return replace(at_boost, compute_us=compute_us, floor_us=max(known), bound=bound)


def against_light(medians_us: Sequence[float], floor_us: float | None) -> Light:
    """Judge the medians of independent measurements (screening, then fresh workers)."""
    if floor_us is None or not medians_us:
        return Light.UNKNOWN
    under = [time_us < MARGIN * floor_us for time_us in medians_us]
    if not all(under):
        return Light.POSSIBLE
    return Light.REFUSED if len(under) > 1 else Light.FLAGGED
