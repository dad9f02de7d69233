"""Inside the interpreting child: the numbers that Triton's interpreter stores as bits.

numpy lacks bfloat16 and the float8 types, so the interpreter keeps them as unsigned integers.
Whatever computes with a block's values takes its numbers from here and gives back bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

from warpwright.sandbox.arrays import decode

Values = npt.NDArray[Any]

BIT_FLOATS = {"bf16": "bfloat16", "fp8e4nv": "float8_e4m3fn", "fp8e5": "float8_e5m2"}
FLOAT8_LIMITS = {"fp8e4nv": 448.0, "fp8e5": 57344.0}


class UnsupportedInInterpreterError(Exception):
    """The kernel uses something that only a GPU can do."""


def to_numbers(handle: TensorHandle) -> Values:
    """The handle's values as numbers; types that numpy lacks become float32."""
    _check_known(handle.dtype.scalar)
    name = BIT_FLOATS.get(handle.dtype.scalar.name)
    return handle.data if name is None else decode(handle.data, name)


def to_bits(values: Values, dtype: tl.dtype) -> Values:
    """Numbers as the interpreter stores a type: rounded to nearest even."""
    _check_known(dtype.scalar)
    name = dtype.scalar.name
    if name not in BIT_FLOATS:
        return values.astype(interpreter._get_np_dtype(dtype.scalar))
    single = values.astype(np.float32)
    if name == "bf16":
        return _to_bfloat16(single)
    limit = FLOAT8_LIMITS[name]
    clipped = torch.from_numpy(np.ascontiguousarray(np.clip(single, -limit, limit)))
    kind = getattr(torch, BIT_FLOATS[name])
    bits: Values = clipped.to(kind).view(torch.uint8).numpy()
    return bits


def _to_bfloat16(values: npt.NDArray[np.float32]) -> Values:
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    rounded = np.where(np.isnan(values), 0x7FC0, rounded)
    return rounded.astype(np.uint16).reshape(values.shape)


def _check_known(dtype: tl.dtype) -> None:
    if dtype.name.startswith("fp8") and dtype.name not in BIT_FLOATS:
        raise UnsupportedInInterpreterError(f"numbers of type {dtype.name}")
