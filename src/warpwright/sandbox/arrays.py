"""Arrays on their way between processes: `.npy` files and a small manifest.

numpy has no bfloat16 and no 8-bit floats, so these travel as their bits, with torch's dtype
name beside them, and are decoded here into float32 without loss. Files from a child are foreign
data: they are read without pickle, by plain names inside one directory, up to a size limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from warpwright.errors import SandboxError

MAX_FILE_BYTES = 1024**3
BIT_DTYPES = {
    "bfloat16": np.dtype(np.uint16),
    "float8_e4m3fn": np.dtype(np.uint8),
    "float8_e5m2": np.dtype(np.uint8),
}


@dataclass(frozen=True, slots=True)
class Array:
    """One tensor's values: where it stood (`output[1]`), torch's dtype name, the data.

    `data` has numpy's own dtype where there is one; bfloat16 and 8-bit floats are float32
    arrays that hold exactly the stored values.
    """

    name: str
    dtype: str
    data: npt.NDArray[Any]


def decode(bits: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Values of an array stored as bits; arrays of numpy's own dtypes come back as they are."""
    if dtype not in BIT_DTYPES:
        return bits
    if bits.dtype != BIT_DTYPES[dtype]:
        raise SandboxError(f"an array of {dtype} is stored as {bits.dtype}")
    if dtype == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    table = _float8_table(4, 7, False) if dtype == "float8_e4m3fn" else _float8_table(5, 15, True)
    values: npt.NDArray[Any] = table[bits]
    return values


def _float8_table(exponent_bits: int, bias: int, has_infinity: bool) -> npt.NDArray[np.float32]:
    """All 256 values of an 8-bit float (the OCP 8-bit floating point specification)."""
    codes = np.arange(256, dtype=np.int64)
    mantissa_bits = 7 - exponent_bits
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    fraction = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    normal = (1 + fraction) * np.exp2((exponent - bias).astype(np.float64))
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), normal) * sign
    top = exponent == (1 << exponent_bits) - 1
    if has_infinity:
        values[top] = np.where(fraction[top] == 0, np.inf * sign[top], np.nan)
    else:
        values[(codes & 0x7F) == 0x7F] = np.nan
    return values.astype(np.float32)


def write_bits(directory: Path, file: str, bits: npt.NDArray[Any]) -> None:
    """Write one array as `directory/file`."""
    np.save(directory / file, np.ascontiguousarray(bits).reshape(bits.shape), allow_pickle=False)


def read_bits(directory: Path, file: str) -> npt.NDArray[Any]:
    """Read one array. Raises `SandboxError` for anything that is not a plain small array file."""
    path = directory / file
    if Path(file).name != file or path.is_symlink() or not path.is_file():
        raise SandboxError(f"no array file {file!r}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise SandboxError(f"array file {file!r} is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        value = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise SandboxError(f"array file {file!r} cannot be read: {error}") from error
    if not isinstance(value, np.ndarray):
        raise SandboxError(f"array file {file!r} holds no single array")
    return value


def read_array(directory: Path, entry: Mapping[str, Any]) -> Array:
    """The array that a manifest entry (`name`, `dtype`, `file`) describes."""
    dtype = str(entry["dtype"])
    bits = read_bits(directory, str(entry["file"]))
    return Array(str(entry["name"]), dtype, decode(bits, dtype))
