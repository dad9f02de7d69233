"""Inside worker and reference process: tensors to and from files of plain bytes, without a detour.

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

from warpwright.interpreter.reference.child_state import as_bytes
from warpwright.sandbox import child_tensors

GIVEN_BACK = "free-"
_from_file = torch.from_file
_empty = torch.empty


def given_back(path: Path) -> Path:
    """What the main process renames an output file to, once it was read (`worker.forget`)."""
    return path.with_name(GIVEN_BACK + path.name)


class FileError(Exception):
    """A file is not what its manifest says."""


def save(tensor: torch.Tensor, directory: Path, file: str, name: str) -> dict[str, Any]:
    """Write a tensor's bytes; its manifest entry. Raises OSError on a full disk."""
    data = as_bytes(tensor)
    memory = _new_file(directory / file, data.numel())
    if memory is not None:
        memory.copy_(data)
    return _entry(tensor, file, name)


def _new_file(path: Path, size_bytes: int) -> torch.Tensor | None:
    """A file of so many bytes, and the memory that it is mapped to; None where it has none."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if size_bytes:
            os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)
    if not size_bytes:
        return None
    return _from_file(str(path), shared=True, size=size_bytes, dtype=torch.uint8)


def _entry(tensor: torch.Tensor, file: str, name: str) -> dict[str, Any]:
    dtype = child_tensors.dtype_name(tensor.dtype)
    return {"name": name, "dtype": dtype, "shape": list(tensor.shape), "file": file}


class Outbox:
    """A worker's output files. Those that the main process gave back are written again.

    A file's first write makes its pages, which takes ten times the copying: 2 GiB from an H100 took
    2.0 s to a new file and 0.16 s to one that was there.
    """

    def __init__(self) -> None:
        self._written: list[tuple[Path, torch.Tensor]] = []

    def save_all(
        self, named: Sequence[tuple[str, torch.Tensor]], directory: Path, prefix: str
    ) -> list[dict[str, Any]]:
        """Write tensors as `<prefix>.<i>.bin`; their manifest. Raises OSError on a full disk."""
        written, self._written = self._written, []
        free = []
        for path, memory in written:  # in this order: one may be given back meanwhile
            if path.exists():
                self._written.append((path, memory))
            elif given_back(path).exists():
                free.append((path, memory))
        manifest = []
        for index, (name, tensor) in enumerate(named):
            data, file = as_bytes(tensor), f"{prefix}.{index}.bin"
            memory = self._again(free, directory / file, data.numel())
            if memory is None:
                while free:  # of other sizes: they would only take room
                    given_back(free.pop()[0]).unlink(missing_ok=True)
                memory = _new_file(directory / file, data.numel())
            if memory is not None:
                memory.copy_(data)
                self._written.append((directory / file, memory))
            manifest.append(_entry(tensor, file, name))
        self._written += free  # for the next: two are in turns while one output is judged
        return manifest

    @staticmethod
    def _again(
        free: list[tuple[Path, torch.Tensor]], path: Path, size_bytes: int
    ) -> torch.Tensor | None:
        """The memory of a file that was given back, and has `path` from now on."""
        for place, (old, memory) in enumerate(free):
            if memory.numel() == size_bytes and old.parent == path.parent:
                given_back(old).rename(path)
                del free[place]
                return memory
        return None


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
