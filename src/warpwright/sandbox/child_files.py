"""Inside worker and judge: tensors to and from files of plain bytes, without a detour.

A file is reserved before it is mapped: on a full disk a write through a mapping would kill the
process, while reserving is an error that can be told.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from warpwright.sandbox import child_tensors
from warpwright.sandbox.child_state import as_bytes

_from_file = torch.from_file
_empty = torch.empty


class FileError(Exception):
    """A file is not what its manifest says."""


def save(tensor: torch.Tensor, directory: Path, file: str, name: str) -> dict[str, Any]:
    """Write a tensor's bytes; its manifest entry. Raises OSError on a full disk."""
    data = as_bytes(tensor)
    path = directory / file
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if data.numel():
            os.posix_fallocate(descriptor, 0, data.numel())
    finally:
        os.close(descriptor)
    if data.numel():
        _from_file(str(path), shared=True, size=data.numel(), dtype=torch.uint8).copy_(data)
    dtype = child_tensors.dtype_name(tensor.dtype)
    return {"name": name, "dtype": dtype, "shape": list(tensor.shape), "file": file}


def load(directory: Path, entry: Mapping[str, Any], device: torch.device) -> torch.Tensor:
    """The tensor of a manifest entry on `device`, in storage of its own. Raises `FileError`."""
    file, shape = str(entry["file"]), [int(extent) for extent in entry["shape"]]
    dtype = child_tensors.dtype_of(str(entry["dtype"]))
    path = directory / file
    if Path(file).name != file or path.is_symlink() or not path.is_file():
        raise FileError(f"no file {file!r}")
    size = math.prod(shape) * dtype.itemsize
    if any(extent < 0 for extent in shape) or path.stat().st_size != size:
        raise FileError(f"file {file!r} has another size than its tensor")
    if size == 0:
        return _empty(shape, dtype=dtype, device=device)
    data = _from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    return data.to(device, copy=True).view(dtype).reshape(shape)


def save_all(
    named: Sequence[tuple[str, torch.Tensor]], directory: Path, prefix: str
) -> list[dict[str, Any]]:
    """Write tensors as `<prefix>.<i>.bin`; their manifest."""
    return [
        save(tensor, directory, f"{prefix}.{index}.bin", name)
        for index, (name, tensor) in enumerate(named)
    ]
