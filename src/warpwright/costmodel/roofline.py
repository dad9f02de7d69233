"""Roofline floor: the time that no kernel doing this work on this board can go under.

A floor is arithmetic on a sheet, so its origin is *predicted*; real kernels stay above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from warpwright.types.gpu import GpuSheet


class RateClass(StrEnum):
    """Which arithmetic unit does the work, and at which of the sheet's rates."""

    FP32 = "fp32"  # ordinary fp32 units, no tensor cores
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"


TENSOR_CORE_CLASSES = (RateClass.TF32, RateClass.FP16, RateClass.BF16, RateClass.FP8)


@dataclass(frozen=True, slots=True)
class RooflineFloor:
    """The floor and its two terms, in µs. None: unknown, for want of what `lacks` lists.

    `floor_us` is the larger of the terms that are known: still a floor, if a lower one, where
    one is unknown. `bound` says which term is larger, None unless both are known.
    """

    compute_us: float | None
    memory_us: float | None
    floor_us: float | None
    bound: str | None  # "compute" or "memory"
    lacks: tuple[str, ...] = ()


def rate_tflops(rate: RateClass, sheet: GpuSheet) -> float | None:
    """The sheet's dense rate of a class in TFLOPS (a multiply-add is two), None if it has none."""
    return {
        RateClass.FP32: sheet.fp32_tflops,
        RateClass.TF32: sheet.tf32_tflops,
        RateClass.FP16: sheet.fp16_tflops,
        RateClass.BF16: sheet.bf16_tflops,
        RateClass.FP8: sheet.fp8_tflops,
    }[rate]


def compute_time_us(operations: float, tflops: float) -> float:
    """Time of so many operations at so many TFLOPS, in µs: 1 TFLOPS is 10^6 a µs."""
    return operations / (tflops * 1e6)


def memory_time_us(bytes_moved: float, gb_per_s: float) -> float:
    """Time of so many bytes at so many GB/s (10^9), in µs: 1 GB/s is 10^3 bytes a µs."""
    return bytes_moved / (gb_per_s * 1e3)


def floor(
    operations: Mapping[RateClass, float] | None, bytes_moved: float | None, sheet: GpuSheet
) -> RooflineFloor:
    """The roofline floor of `operations` and `bytes_moved` on a board.

    `operations` counts floating-point operations per class, a multiply-add as two; an empty
    mapping means that there are none, None that they are unknown. `bytes_moved` are the bytes
    that must cross the memory bus at least once, reads plus writes.

    Tensor cores and ordinary units work at the same time, so the compute term is the longer
    of the two; the classes of tensor-core work share one unit, so their times add up. Source:
    S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009.
    """
    lacks: list[str] = []
    compute_us = _compute_term_us(operations, sheet, lacks)
    memory_us = _memory_term_us(bytes_moved, sheet, lacks)
    known = [term for term in (compute_us, memory_us) if term is not None]
    bound = None
    if compute_us is not None and memory_us is not None:
        bound = "compute" if compute_us > memory_us else "memory"
    return RooflineFloor(compute_us, memory_us, max(known, default=None), bound, tuple(lacks))


def _compute_term_us(
    operations: Mapping[RateClass, float] | None, sheet: GpuSheet, lacks: list[str]
) -> float | None:
    if operations is None:
        lacks.append("operations")
        return None
    times_us: dict[RateClass, float] = {}
    missing = []
    for rate, count in operations.items():
        tflops = rate_tflops(rate, sheet)
        if count and tflops is None:
            missing.append(f"{rate}_tflops")
        elif tflops is not None:
            times_us[rate] = compute_time_us(count, tflops)
    lacks.extend(missing)
    if missing:
        return None
    tensor_us = sum(times_us.get(rate, 0.0) for rate in TENSOR_CORE_CLASSES)
    return max(tensor_us, times_us.get(RateClass.FP32, 0.0))


def _memory_term_us(bytes_moved: float | None, sheet: GpuSheet, lacks: list[str]) -> float | None:
    if bytes_moved is None:
        lacks.append("bytes")
        return None
    if sheet.memory_bandwidth_gb_per_s is None:
        lacks.append("memory_bandwidth_gb_per_s")
        return None
    return memory_time_us(bytes_moved, sheet.memory_bandwidth_gb_per_s)
