"""Inside a tracing child: values of small constant tensors, and refusal to invent others.

Stand-in tensors have no values. A program may still read one back that its own constants
decide (`torch.linspace(0, rate, depth)[i].item()`), so values of small tensors made from
constants are kept beside the stand-ins. Reading any other value is `DataDependentError`.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

MAX_KNOWN_ELEMENTS = 65536

FACTORIES = {
    torch.tensor,
    torch.as_tensor,
    torch.arange,
    torch.linspace,
    torch.logspace,
    torch.zeros,
    torch.ones,
    torch.full,
    torch.eye,
}
READERS = {
    torch.Tensor.item,
    torch.Tensor.tolist,
    torch.Tensor.numpy,
    torch.Tensor.__bool__,
    torch.Tensor.__int__,
    torch.Tensor.__float__,
    torch.Tensor.__index__,
    torch.Tensor.__complex__,
    torch.Tensor.__array__,
    torch.Tensor.__contains__,
    torch.Tensor.nonzero,
    torch.Tensor.masked_select,
    torch.Tensor.unique,
    torch.Tensor.equal,
    torch.Tensor.allclose,
    torch.nonzero,
    torch.masked_select,
    torch.unique,
    torch.bincount,
    torch.argwhere,
    torch.Tensor.argwhere,
    torch.unique_consecutive,
    torch.Tensor.unique_consecutive,
    torch.equal,
    torch.allclose,
    torch.is_nonzero,
}


class DataDependentError(Exception):
    """The host code needs the value of a tensor, which a trace does not have."""


class KnownValues:
    """Values of small tensors that follow from constants alone."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[weakref.ref[torch.Tensor], torch.Tensor, int]] = {}

    def value_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        entry = self._values.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def keep(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        storage = tensor.untyped_storage()._cdata
        self._values[id(tensor)] = (weakref.ref(tensor), value, storage)

    def forget(self, tensor: torch.Tensor) -> None:
        """Something may have written into this tensor's memory."""
        storage = tensor.untyped_storage()._cdata
        for key in [key for key, entry in self._values.items() if entry[2] == storage]:
            del self._values[key]

    def known(self, argument: Any) -> Any:
        """The argument with stand-ins replaced by values; raises LookupError for an unknown."""
        if isinstance(argument, torch.Tensor):
            value = self.value_of(argument)
            if value is None:
                raise LookupError
            return value
        if type(argument) in (list, tuple):
            return type(argument)(self.known(item) for item in argument)
        return argument

    def read(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What reading a value gives, if it follows from constants."""
        name = getattr(func, "__name__", str(func))
        try:
            values = [self.known(argument) for argument in args]
        except LookupError:
            raise DataDependentError(
                f"the host code reads a tensor's value ({name}): what it does next depends on data"
            ) from None
        return func(*values, **kwargs)

    def follow(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        """Keep up after `func(*args, **kwargs)` gave `out` on stand-ins."""
        name = getattr(func, "__name__", "")
        written = kwargs.get("out")
        if writes_in_place(name) and args:
            written = args[0]
        if isinstance(written, torch.Tensor):
            self.forget(written)
            return
        outs = out if isinstance(out, (tuple, list)) else (out,)
        if not all(isinstance(o, torch.Tensor) and o.numel() <= MAX_KNOWN_ELEMENTS for o in outs):
            return
        with contextlib.suppress(LookupError, RuntimeError, TypeError, NotImplementedError):
            if func in FACTORIES:
                self.keep(out, func(*args, **{**kwargs, "device": "cpu"}))
            elif self._values and has_tensor(args):
                values = [self.known(argument) for argument in args]
                value = func(*values, **without_device(kwargs))
                results = value if isinstance(value, (tuple, list)) else (value,)
                for stand_in, result in zip(outs, results, strict=True):
                    self.keep(stand_in, result)


def needs_values(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call's result, or its shape, follows from what its tensors hold."""
    if func in READERS:
        return True
    if func is torch.Tensor.__getitem__:  # by a mask
        index = args[1] if isinstance(args[1], tuple) else args[1:]
        return any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in index)
    if func is torch.where:
        return len(args) + len(kwargs) == 1
    if func in (torch.repeat_interleave, torch.Tensor.repeat_interleave):
        repeats = kwargs.get("repeats", args[min(1, len(args) - 1)])
        return "output_size" not in kwargs and isinstance(repeats, torch.Tensor)
    return False


def writes_in_place(name: str) -> bool:
    """Whether a torch function of this name writes into its first argument."""
    if name == "__setitem__" or (name.startswith("__i") and name.endswith("__")):
        return name not in ("__index__", "__int__", "__invert__", "__init__", "__iter__")
    return name.endswith("_") and not name.endswith("__")


def has_tensor(args: Sequence[Any]) -> bool:
    """Whether a tensor is among the arguments, or in a list or tuple of them."""
    return any(
        isinstance(argument, torch.Tensor)
        or (isinstance(argument, (list, tuple)) and has_tensor(argument))
        for argument in args
    )


def without_device(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "device"}
