"""Inside the full-size child: tensors of many gigabytes that take no memory until written to.

A large tensor is a stretch of address space on which one block of memory is mapped over and over:
reading costs nothing, and a page that is written becomes the tensor's own. So inputs repeat one
pattern of values, and "uninitialised" memory holds NaN everywhere. The pattern's length is a prime
number of pages, which no stride of a program is likely to be a multiple of.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from warpwright.tracing.child_device import UNINITIALISED, CudaOnCpu, spoil

LARGE_BYTES = 512 * 1024**2
PATTERN_BYTES = 2039 * mmap.PAGESIZE
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
# Linux's numbers where Python's mmap module has no name for them.
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000
FACTORIES = {torch.rand, torch.randn, torch.zeros, torch.ones, torch.empty}
SHAPED = UNINITIALISED | {
    torch.zeros, torch.ones, torch.full, torch.zeros_like, torch.ones_like, torch.full_like,
    torch.Tensor.new_zeros, torch.Tensor.new_ones, torch.Tensor.new_full,
}  # fmt: skip


def tiled(pattern: torch.Tensor, count: int) -> torch.Tensor:
    """`count` elements that repeat a flat pattern of `PATTERN_BYTES`. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    pages = math.ceil(count * pattern.element_size() / mmap.PAGESIZE)
    total = max(1, pages) * mmap.PAGESIZE
    reserved = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    base = _mapped(libc, None, total, reserved, -1)
    descriptor = os.memfd_create("pattern")
    try:
        os.write(descriptor, pattern.view(torch.uint8).numpy().tobytes())
        for at in range(0, total, PATTERN_BYTES):
            length = min(PATTERN_BYTES, total - at)
            flags = mmap.MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
            _mapped(libc, base + at, length, flags, descriptor)
    finally:
        os.close(descriptor)
    memory = (ctypes.c_uint8 * total).from_address(base)
    return torch.frombuffer(memory, dtype=pattern.dtype, count=count)


def _mapped(libc: Any, at: int | None, length: int, flags: int, descriptor: int) -> int:
    found = libc.mmap(at, length, READ_WRITE, flags, descriptor, 0)
    if found is None or found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "no address space for a tensor of this size")
    return int(found)


def is_large(count: int, dtype: torch.dtype) -> bool:
    """Whether so many elements are better not made in memory."""
    return count * dtype.itemsize >= LARGE_BYTES and hasattr(os, "memfd_create")


class SparseCuda(CudaOnCpu):
    """Stand-ins for CUDA tensors as elsewhere, of which large new ones take no memory."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in SHAPED:
            made = _made_large(func, args, {**(kwargs or {}), "device": self.device})
            if made is not None:
                return made
        return super().__torch_function__(func, types, args, kwargs)


def _made_large(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> torch.Tensor | None:
    """The new tensor without memory; None where it is small."""
    kwargs.pop("pin_memory", None)
    plan = func(*map(_without_data, args), **{**kwargs, "device": "meta"})
    if not is_large(plan.numel(), plan.dtype):
        return None
    pattern = torch.empty(PATTERN_BYTES // plan.dtype.itemsize, dtype=plan.dtype)
    if func in UNINITIALISED:
        spoil(pattern)
    else:  # zeros, ones or a value: the same everywhere
        pattern.fill_(_value(func, args, kwargs))
    span = 1 + sum((n - 1) * step for n, step in zip(plan.shape, plan.stride(), strict=True))
    return torch.as_strided(tiled(pattern, span), plan.shape, plan.stride())


def _without_data(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    with torch._C.DisableTorchFunction():
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _value(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    name = func.__name__
    if "full" in name:
        return kwargs["fill_value"] if "fill_value" in kwargs else args[-1]
    return 1 if "ones" in name else 0


class SparseFactories(TorchFunctionMode):  # type: ignore[misc]
    """What a problem's `get_inputs` calls: everything on the CPU, large random tensors as patterns.

    `repeats`: how many tensors repeat one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeats = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = dict(kwargs or {})
        if named.get("device") is not None:
            named["device"] = "cpu"
        if func is torch.Tensor.cuda:
            return args[0]
        if func in FACTORIES or func is torch.randint:
            made = self._made(func, args, named)
            if made is not None:
                return made
        return func(*args, **named)

    def _made(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        bounds: tuple[Any, ...] = ()
        rest = {name: value for name, value in named.items() if name != "size"}
        if func is torch.randint:
            bounds = args if "size" in named else args[:-1]
            size = named["size"] if "size" in named else args[-1]
        else:
            first = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            size = named.get("size", first)
        default = torch.int64 if func is torch.randint else torch.get_default_dtype()
        dtype = named.get("dtype") or default
        count = math.prod(size)
        if not is_large(count, dtype):
            return None
        self.repeats += 1
        pattern = func(*bounds, (PATTERN_BYTES // dtype.itemsize,), **rest)
        return tiled(pattern, count).view(tuple(size))
