"""Whether a float32 product is faster as several products on the tensor cores, by a sheet's rates.

Instructions do not tell: one instruction of a tensor core does the work of hundreds of others.
"""

from __future__ import annotations

from warpwright.costmodel.roofline import RateClass, rate_tflops
from warpwright.types.gpu import GpuSheet

LEAST_RATIO = 1.5
"""By how much the rates must speak for it: splitting operands costs something, too."""


def parts_ratio(rate: RateClass, products: int, sheet: GpuSheet) -> float | None:
    """How many times faster a board does a float32 product as so many of another class, by its
    rates alone; None where they are not known."""
    parts, plain = rate_tflops(rate, sheet), rate_tflops(RateClass.FP32, sheet)
    return parts / products / plain if parts and plain else None


def against_parts(rate: RateClass, products: int, sheet: GpuSheet) -> str | None:
    """Why `products` products of the class `rate` in place of one in float32 promise no gain on a
    board; None where they do."""
    ratio = parts_ratio(rate, products, sheet)
    if ratio is None:
        return f"the rates of {sheet.name} in fp32 and {rate} are not both known"
    if ratio >= LEAST_RATIO:
        return None
    plain = rate_tflops(RateClass.FP32, sheet) or 0.0
    return (
        f"{sheet.name} does {plain:g} TFLOPS in fp32, and {ratio * plain:.4g} in "
        f"{products} products of {rate} for each"
    )
