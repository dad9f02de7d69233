"""Whether a float32 product is faster as several products on the tensor cores, by a sheet's rates.

Instructions do not tell: one instruction of a tensor core does the work of hundreds of others.
"""

from __future__ import annotations

from warpwright.costmodel.roofline import RateClass, rate_tflops
from warpwright.types.gpu import GpuSheet

LEAST_RATIO = 1.5
"""By how much the rates must speak for it: splitting operands costs something, too."""


def against_parts(rate: RateClass, products: int, sheet: GpuSheet) -> str | None:
    """Why `products` products of the class `rate` in place of one in float32 promise no gain on a
    board; None where they do."""
    parts, plain = rate_tflops(rate, sheet), rate_tflops(RateClass.FP32, sheet)
    if not parts or not plain:
        return f"the rates of {sheet.name} in fp32 and {rate} are not both known"
    if parts / products >= LEAST_RATIO * plain:
        return None
    return (
        f"{sheet.name} does {plain:g} TFLOPS in fp32, and {parts / products:.4g} in "
        f"{products} products of {rate} for each"
    )
