"""Inside children without a GPU: CPU tensors that pass for, or replace, those on a CUDA device.

Triton's interpreter works on the CPU, but programs ask whether their tensors are on the GPU and
take another way when they are not. New uninitialised memory is filled with NaN (with the largest
number for integers): on a GPU it holds whatever was there before, the right result included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from warpwright.tracing.child_own_ops import implementation
from warpwright.tracing.child_trace_torch import CUDA, names_device

MOVES = {torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.cpu, torch.Tensor.pin_memory}
UNINITIALISED = {
    torch.empty,
    torch.empty_like,
    torch.empty_strided,
    torch.Tensor.new_empty,
    torch.Tensor.new_empty_strided,
}


def _getter(name: str) -> Any:
    return getattr(torch.Tensor, name).__get__


ANSWERS: dict[Any, Callable[..., Any]] = {
    _getter("is_cuda"): lambda *_: True,
    _getter("is_cpu"): lambda *_: False,
    _getter("device"): lambda *_: CUDA,
    torch.Tensor.get_device: lambda *_: 0,
    torch.Tensor.is_pinned: lambda *_: False,
    torch.Tensor.record_stream: lambda *_: None,
}


class CudaOnCpu(TorchFunctionMode):  # type: ignore[misc]
    """Answers for CPU tensors as for CUDA tensors; keeps data on the CPU.

    `addressed` holds every tensor whose address the host code took: kernels may follow such
    pointers from memory. `address` gives the addresses that kernels see, where these are others.
    """

    def __init__(self, address: Callable[[torch.Tensor], int] | None = None) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self._address = address
        self.addressed: list[torch.Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        answer = ANSWERS.get(func)
        if answer is not None:
            return answer(*args)
        own = implementation(func)
        if own is not None:
            with self:
                return own(*args, **(kwargs or {}))
        if func is torch.Tensor.data_ptr:
            self.addressed.append(args[0])
            if self._address is not None:
                return self._address(args[0])
        named = dict(kwargs or {})
        if func in MOVES:
            return _moved(args, named)
        if named.get("device") is not None:
            named["device"] = self.device
        named.pop("pin_memory", None)
        result = func(*args, **named)
        if func in UNINITIALISED:
            spoil(result)
        return result


class WithoutCuda(TorchFunctionMode):  # type: ignore[misc]
    """Keeps where it is what asks for a CUDA device: problem files name one in their inputs."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is torch.Tensor.cuda or (func is torch.Tensor.to and _asks_for_cuda(args, named)):
            return _moved(args, named)
        if _is_cuda(named.get("device")):
            named["device"] = torch.get_default_device()
        return func(*args, **named)


def _asks_for_cuda(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return any(map(_is_cuda, (*args[1:], kwargs.get("device"))))


def _is_cuda(device: Any) -> bool:
    if isinstance(device, str):
        return device.split(":")[0] == "cuda"
    return isinstance(device, torch.device) and device.type == "cuda"


def _moved(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """`Tensor.to` and its kin without the device: only a change of dtype is left."""
    beside = (bool, int, type(None))  # non_blocking, a device's number, a dtype that is not given
    kept = [arg for arg in args[1:] if not names_device(arg) and not isinstance(arg, beside)]
    kept = [arg.dtype if isinstance(arg, torch.Tensor) else arg for arg in kept]
    named = {name: kwargs[name] for name in ("dtype", "copy", "memory_format") if name in kwargs}
    tensor: torch.Tensor = args[0]
    return tensor.to(*kept, **named) if kept or named else tensor


def spoil(tensor: torch.Tensor) -> None:
    """Fill a tensor with NaN, or with the largest value of an integer type."""
    if tensor.is_floating_point() or tensor.is_complex():
        tensor.detach().fill_(float("nan"))
    elif tensor.dtype == torch.bool:
        tensor.fill_(True)
    else:
        tensor.fill_(torch.iinfo(tensor.dtype).max)
