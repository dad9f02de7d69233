"""Inside the interpreting child: which addresses a kernel may touch.

The interpreter reads and writes raw memory. An access outside all known tensors is kept from
happening (it could kill the process), reads give NaN there, and it is recorded with its line.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from warpwright.types.verdict import RACE

Values = npt.NDArray[Any]
MAX_EVENTS = 20
FIRST = 1 << 62  # above all real addresses
ROOM_BITS = 40  # of address space for each storage


class Addresses:
    """Addresses that kernels see: each storage has a range of its own, far from all others, so
    that no access beyond its ends finds another one. They stay the same for the whole process."""

    def __init__(self) -> None:
        self._bases: dict[int, int] = {}

    def base(self, start: int) -> int:
        """The address of a storage that really starts at `start`; as well aligned."""
        return self._bases.setdefault(start, FIRST + (len(self._bases) << ROOM_BITS))

    def of(self, tensor: torch.Tensor) -> int:
        """The address of a tensor's first element; 0 for one without memory."""
        with torch._C.DisableTorchFunction():
            start, place = tensor.untyped_storage().data_ptr(), tensor.data_ptr()
        return self.base(start) + place - start if start else 0


class Memory:
    """The storages a launch may touch, and the accesses that missed them."""

    def __init__(self, addresses: Addresses | None = None) -> None:
        self.addresses = addresses or Addresses()
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._shifts: list[int] = []
        """From what a kernel sees to where it is, modulo 2^64."""
        self.events: list[dict[str, Any]] = []
        self.undefined: set[int] = set()
        """Lines whose loads left lanes undefined: masked off, and without `other`."""
        self.spoil_undefined = True
        self.other_is_zero = False
        """The load that is going on has an `other` of zero, which the language's code drops."""
        self.kernel = ""
        self.watch_owners = False
        """Whether stores of two blocks to one place are found."""
        self.block = 0  # a number of its own for each block that runs
        self._owners: dict[tuple[int, int], Values] = {}

    def allow(self, tensors: list[torch.Tensor]) -> None:
        """Set the tensors of the coming launch, with the whole storage of each."""
        sizes = {}
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.nbytes():
                sizes[storage.data_ptr()] = storage.nbytes()
        ordered = sorted((self.addresses.base(start), start) for start in sizes)
        self._starts = [seen for seen, _ in ordered]
        self._ends = [seen + sizes[start] for seen, start in ordered]
        self._shifts = [(start - seen) % 2**64 for seen, start in ordered]
        self._owners = {}

    def _one_storage(self, low: int, high: int, itemsize: int) -> int | None:
        """The index of the storage that holds all from `low` to `high`."""
        index = bisect_right(self._starts, low) - 1
        return index if index >= 0 and high + itemsize <= self._ends[index] else None

    def reach(
        self, pointers: Values, mask: Values, itemsize: int, access: str
    ) -> tuple[Values, Values | None]:
        """Where `pointers` really point, and the lanes of `mask` that may go ahead.

        None: all may (the usual case, checked fast). Lanes that miss are recorded.
        """
        if pointers.size == 0 or not self._starts:
            return self._reach_each(pointers, mask, itemsize, access)
        index = self._one_storage(int(pointers.min()), int(pointers.max()), itemsize)
        if index is None:
            active = pointers[np.broadcast_to(mask, pointers.shape)]
            if active.size == 0:
                return pointers, None
            index = self._one_storage(int(active.min()), int(active.max()), itemsize)
        if index is None:
            return self._reach_each(pointers, mask, itemsize, access)
        return pointers + np.uint64(self._shifts[index]), None

    def _reach_each(
        self, pointers: Values, mask: Values, itemsize: int, access: str
    ) -> tuple[Values, Values | None]:
        """The same, lane by lane."""
        mask = np.broadcast_to(mask, pointers.shape)
        starts = np.array([*self._starts, 2**64 - 1], dtype=np.uint64)
        ends = np.array([*self._ends, 0], dtype=np.uint64)
        shifts = np.array([*self._shifts, 0], dtype=np.uint64)
        index = np.searchsorted(starts, pointers, side="right").astype(np.int64) - 1
        inside = (index >= 0) & (pointers + np.uint64(itemsize) <= ends[index])
        real = pointers + shifts[index]
        missed = int((mask & ~inside).sum())
        if missed == 0:
            return real, None
        self._record(access, missed)
        return real, np.ascontiguousarray(mask & inside)

    def undefined_lanes(
        self, shape: tuple[int, ...], mask: Values, dtype: Any, bits: Any
    ) -> Values:
        """What a load without `other` has in the lanes that it masks off: anything on a GPU.

        `bits`: what spoils the type, as it is stored. Zeros where the caller asked for those.
        """
        if self.other_is_zero or bool(np.all(mask)):
            return np.zeros(shape, dtype=dtype)
        line = _kernel_line()
        if line is not None:
            self.undefined.add(line)
        if not self.spoil_undefined:
            return np.zeros(shape, dtype=dtype)
        return np.full(shape, np.array(bits).astype(dtype), dtype=dtype)

    def stored(self, pointers: Values, value: Values, there: Values, mask: Values) -> None:
        """Note a store that is about to happen, where `there` is. One to a place where another
        block of the launch stored something else, without an atomic operation, is a race: which
        one stays is chance.
        """
        mask = np.broadcast_to(mask, pointers.shape)
        seen, size = pointers[mask], value.dtype.itemsize
        index = self._one_storage(int(seen.min()), int(seen.max()), size) if seen.size else None
        if index is None:
            return
        start, end = self._starts[index], self._ends[index]
        owners = self._owners.setdefault(
            (start, size), np.zeros((end - start) // size + 1, dtype=np.int64)
        )
        at = ((seen - np.uint64(start)) // np.uint64(size)).astype(np.int64)
        others = (owners[at] != 0) & (owners[at] != self.block)
        if others.any():
            old, new = (_bits(np.broadcast_to(v, pointers.shape)[mask]) for v in (there, value))
            differ = others & (old != new).any(axis=1)
            if differ.any():
                self._record(RACE, int(differ.sum()))
        owners[at] = self.block

    def _record(self, access: str, count: int) -> None:
        line = _kernel_line()
        for event in self.events:
            if (event["kernel"], event["line"], event["access"]) == (self.kernel, line, access):
                event["count"] += count
                return
        if len(self.events) < MAX_EVENTS:
            self.events.append(
                {"kernel": self.kernel, "line": line, "access": access, "count": count}
            )


def _bits(values: Values) -> Values:
    """The bytes of each value, so that one NaN equals itself."""
    bits: Values = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    return bits


def _kernel_line() -> int | None:
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith("program.py"):
            return int(frame.f_lineno)
        frame = frame.f_back
    return None


def spoiled_bits(dtype: np.dtype[Any], element: str) -> Any:
    """`spoiled` for an element type by its name in the language; bfloat16 and fp8 are bits here."""
    if element == "bf16":
        return 0x7FC0
    return 0x7F if element.startswith("fp8") else spoiled(dtype)


def spoiled(dtype: np.dtype[Any]) -> Any:
    """What a read from outside gives: NaN, or the largest integer (an odd one)."""
    if dtype.kind == "f":
        return np.nan
    return True if dtype.kind == "b" else np.iinfo(dtype).max
