"""The time that no program can go under on a problem, as far as it is sure (predicted).

A floor from the problem's own operators holds only for work that every program does. Where the
program's kernels need less than it, by what they are compiled to, it was none and is withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.costmodel.roofline import RateClass, RooflineFloor, floor
from warpwright.types.gpu import GpuSheet
from warpwright.types.study import KernelStudy, ProblemCost

# float32 products to float32's precision, split over narrower types: so many products for one.
SPLIT_PRODUCTS = {RateClass.TF32: 3, RateClass.FP16: 3, RateClass.BF16: 3}
SLACK = 0.999  # two sums of the same bytes


@dataclass(frozen=True, slots=True)
class ProblemFloor:
    """`floor_us` is None where nothing is sure; `withdrawn` says what is not, and why."""

    floor_us: float | None
    bound: str | None
    withdrawn: str | None = None


def problem_floor(
    cost: ProblemCost, kernels: Sequence[KernelStudy], sheet: GpuSheet
) -> ProblemFloor:
    """The problem's floor on the card, lowered or withdrawn where a program can be faster."""
    flops, read_bytes, written_bytes = cost.needed
    moved = read_bytes + written_bytes
    whole = _sure(cost.compute_class, flops, moved, sheet)
    told = "; ".join(cost.spared) or None
    own_us = kernels_floor_us(kernels)
    if own_us is None or whole.floor_us is None or own_us >= SLACK * whole.floor_us:
        return _floor(whole, told)
    less = f"the kernels' own floor, {own_us:.3g} µs, is below that of the counted work"
    told = less if told is None else f"{less}; {told}"
    bytes_alone = floor({}, moved, sheet)
    if bytes_alone.floor_us is not None and own_us >= SLACK * bytes_alone.floor_us:
        return _floor(bytes_alone, told)
    return ProblemFloor(None, None, told)


def kernels_floor_us(kernels: Sequence[KernelStudy]) -> float | None:
    """The floors of all kernels together, one after another; None where one is not known."""
    times = [kernel.floor_us for kernel in kernels]
    known = [time for time in times if time is not None]
    return sum(known) if known and len(known) == len(times) else None


def _floor(roof: RooflineFloor, told: str | None) -> ProblemFloor:
    sure_us = roof.floor_us or None  # 0 µs is no floor to speak of
    return ProblemFloor(sure_us, roof.bound if sure_us else None, told)


def _sure(compute_class: str, flops: int, moved: int, sheet: GpuSheet) -> RooflineFloor:
    """The lowest of the floors of all ways to do the products that the policy allows."""
    own = RateClass(compute_class)
    ways = [floor({own: float(flops)}, moved, sheet)]
    if own is RateClass.FP32:
        ways += [floor({r: float(n * flops)}, moved, sheet) for r, n in SPLIT_PRODUCTS.items()]
    known = [way for way in ways if way.compute_us is not None]
    return min(known, key=lambda way: way.floor_us or 0.0, default=ways[0])
