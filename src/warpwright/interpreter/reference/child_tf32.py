"""TF32 as NVIDIA hardware has it: float32 with the low 13 of its 23 fraction bits dropped.

Tensor cores read the high 19 bits of an operand as they are (truncation; this is what
`tl.dot(..., input_precision="tf32")` does, there is no conversion instruction). cuDNN converts
first, with `cvt.rna.tf32.f32`: to nearest, ties away from zero. Both are in the PTX ISA, sections
on `mma` and `cvt`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

KEPT_BITS = np.uint32(0xFFFFE000)
HALF_STEP = np.uint32(0x00001000)
EXPONENT = np.uint32(0x7F800000)


def truncate(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a tensor core sees of float32 operands."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return (bits & KEPT_BITS).view(np.float32)


def round_nearest(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`cvt.rna.tf32.f32`: to nearest, ties away from zero. NaN and infinity stay."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    special = (bits & EXPONENT) == EXPONENT
    rounded = ((bits + HALF_STEP) & KEPT_BITS).view(np.float32)
    return np.where(special, values, rounded)


def split(
    values: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The two TF32 terms of `input_precision="tf32x3"`: values ≈ big + small."""
    big = round_nearest(values)
    with np.errstate(invalid="ignore"):
        small = round_nearest(values - big)
    return big, small
