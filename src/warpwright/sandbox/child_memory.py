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

Values = npt.NDArray[Any]
MAX_EVENTS = 20


class Memory:
    """The storages a launch may touch, and the accesses that missed them."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.undefined: set[int] = set()
        """Lines whose loads left lanes undefined: masked off, and without `other`."""
        self.spoil_undefined = True
        self.other_is_zero = False
        """The load that is going on has an `other` of zero, which the language's code drops."""
        self.kernel = ""

    def allow(self, tensors: list[torch.Tensor]) -> None:
        """Set the tensors of the coming launch, with the whole storage of each."""
        ranges = set()
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.nbytes():
                ranges.add((storage.data_ptr(), storage.data_ptr() + storage.nbytes()))
        ordered = sorted(ranges)
        self._starts = [start for start, _ in ordered]
        self._ends = [end for _, end in ordered]

    def _inside(self, low: int, high: int, itemsize: int) -> bool:
        index = bisect_right(self._starts, low) - 1
        return index >= 0 and high + itemsize <= self._ends[index]

    def allowed(self, pointers: Values, mask: Values, itemsize: int, access: str) -> Values | None:
        """Lanes of `mask` that may go ahead; None: all may (the usual case, checked fast)."""
        if pointers.size == 0 or self._inside(int(pointers.min()), int(pointers.max()), itemsize):
            return None
        mask = np.broadcast_to(mask, pointers.shape)
        active = pointers[mask]
        if active.size == 0 or self._inside(int(active.min()), int(active.max()), itemsize):
            return None
        starts = np.array(self._starts, dtype=np.uint64)
        ends = np.array(self._ends, dtype=np.uint64)
        index = np.searchsorted(starts, pointers, side="right").astype(np.int64) - 1
        end = ends[np.clip(index, 0, None)] if len(ends) else np.zeros_like(pointers)
        inside = (index >= 0) & (pointers + np.uint64(itemsize) <= end)
        missed = int((mask & ~inside).sum())
        if missed == 0:
            return None
        self._record(access, missed)
        return np.ascontiguousarray(mask & inside)

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
