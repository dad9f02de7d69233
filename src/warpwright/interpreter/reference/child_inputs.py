"""Inside the reference child: inputs of the requested, smaller sizes.

The values must come from the problem's own `get_inputs`, because its distribution decides what
the operator does (labels below the number of classes, positive values, triangular matrices).
Four ways, in this order:

1. `get_inputs` runs on the meta device, which tells the full sizes without memory. Then it runs
   again with torch's factory functions (`rand`, `randn`, `randint`, …) given the smaller sizes,
   under a mode; what it does with their results stays as it is.
2. If that does not give the requested shapes, the same with whole tensors of integers, of which
   every so many entries are taken.
3. If that does not either, it runs at full size and the leading part of each tensor is taken.
4. If it cannot be run, there are no inputs, and the reason is told.

Integers that speak of sizes (indices, offsets) are brought to the smaller sizes at the end.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from warpwright.interpreter.reference.child_index_values import (
    INDICES,
    brought_down,
    resampled,
    speaks_of,
)
from warpwright.sandbox import child_guard, child_tensors
from warpwright.tracing.child_value_log import SEED

Shape = tuple[int, ...]

BY_SIZE = {torch.rand, torch.randn, torch.zeros, torch.ones, torch.empty}
INTEGERS = {torch.randint, torch.arange, torch.randperm}
FULL_BYTES = 1024**3  # beyond this, get_inputs is not run at full size


class InputsError(Exception):
    """The problem's inputs cannot be made at the requested sizes."""


class SizeMap:
    """From full sizes to smaller ones: by whole shape first, then by single dimension."""

    def __init__(self, full: Sequence[Shape], small: Sequence[Shape]) -> None:
        shapes: dict[Shape, list[Shape]] = defaultdict(list)
        sizes: dict[int, set[int]] = defaultdict(set)
        for before, after in zip(full, small, strict=True):
            shapes[before].append(after)
            for a, b in zip(before, after, strict=True):
                sizes[a].add(b)
        self._shapes = shapes
        self._sizes = sizes

    def shape(self, shape: Shape) -> Shape:
        """The smaller shape; of several inputs of one full shape, each in its turn."""
        queue = self._shapes.get(shape)
        if queue:
            return queue.pop(0) if len(queue) > 1 else queue[0]
        return tuple(self.size(extent) for extent in shape)

    def size(self, extent: int) -> int:
        """The smaller size of one dimension; where two are possible, the least."""
        return min(self._sizes.get(extent, {extent}))

    def bound(self, value: int) -> int:
        """The smaller bound of integers: of one that is a size, or a size and one more, or what
        two sizes give as a product or as a quotient, that of the smaller sizes."""
        if value in self._sizes:
            return self.size(value)
        pairs = [(a, b) for a in self._sizes for b in self._sizes if a != b]
        for more in (0, 1):
            wanted = value - more
            if wanted in self._sizes:
                return self.size(wanted) + more
            found = [self.size(a) * self.size(b) for a, b in pairs if a * b == wanted]
            found += [
                self.size(a) // self.size(b) for a, b in pairs if b > 1 and a == wanted * b
            ]  # fmt: skip
            if found:
                return max(1, min(found)) + more
        return value


class SmallFactories(TorchFunctionMode):  # type: ignore[misc]
    """torch's factory functions make tensors of the smaller sizes; with `whole_integers` those of
    integers stay as they are."""

    def __init__(self, sizes: SizeMap, *, whole_integers: bool = False) -> None:
        super().__init__()
        self._sizes = sizes
        self._whole_integers = whole_integers

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            kwargs["device"] = "cpu"
        if func is torch.Tensor.cuda:
            return args[0]
        dtype = kwargs.get("dtype")
        integers = dtype is not None and not (dtype.is_floating_point or dtype.is_complex)
        if self._whole_integers and (integers or func in INTEGERS):
            return func(*args, **kwargs)
        if func in BY_SIZE:
            size = kwargs.pop("size", None)
            wanted = _as_shape(args if size is None else (size,))
            return func(self._sizes.shape(wanted), **kwargs)
        if func is torch.full:
            return func(self._sizes.shape(_as_shape(args[:1])), *args[1:], **kwargs)
        if func is torch.randint:
            return self._randint(args, kwargs)
        if func is torch.normal and len(args) == 3:
            return func(args[0], args[1], self._sizes.shape(_as_shape(args[2:])), **kwargs)
        if func in (torch.arange, torch.randperm, torch.eye) and args:
            args = tuple(self._sizes.size(a) if isinstance(a, int) else a for a in args)
        return func(*args, **kwargs)

    def _randint(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        values = list(args)
        size = kwargs.pop("size", None) or values.pop()
        low = kwargs.pop("low", None)
        high = kwargs.pop("high", None)
        if high is None:
            high = values.pop()
        if low is None:
            low = values.pop() if values else 0
        # A bound that is the size of another input (classes, vocabulary) shrinks with it.
        bound = max(low + 1, self._sizes.bound(high))
        return torch.randint(low, bound, self._sizes.shape(_as_shape((size,))), **kwargs)


def _as_shape(args: tuple[Any, ...]) -> Shape:
    if len(args) == 1 and isinstance(args[0], (tuple, list, torch.Size)):
        return tuple(args[0])
    return tuple(args)


def small_inputs(
    get_inputs: Callable[[], Any], specs: Sequence[dict[str, Any]], seed: int
) -> tuple[list[Any], str]:
    """The problem's arguments with tensors of the requested shapes, and how they were made.

    Raises `InputsError` when the problem does not give them.
    """
    wanted = [tuple(spec["shape"]) for spec in specs]
    full = _full_shapes(get_inputs)
    arguments, made_by = _made_small(get_inputs, specs, wanted, full, seed)
    if full is not None and full != wanted:
        arguments = _within(arguments, get_inputs, full, wanted, seed)
    return arguments, made_by


def _made_small(
    get_inputs: Callable[[], Any],
    specs: Sequence[dict[str, Any]],
    wanted: list[Shape],
    full: list[Shape] | None,
    seed: int,
) -> tuple[list[Any], str]:
    if full is not None and len(full) != len(wanted):
        raise InputsError(f"get_inputs makes {len(full)} tensors, but {len(wanted)} shapes")
    if full is not None and all(len(a) == len(b) for a, b in zip(full, wanted, strict=True)):
        torch.manual_seed(seed)
        try:
            with child_guard.foreign_code(), SmallFactories(SizeMap(full, wanted)):
                arguments = list(get_inputs())
            if _shapes(arguments) == wanted:
                return _cast(arguments, specs), "the problem's get_inputs at the smaller sizes"
        except (RuntimeError, ValueError, TypeError, IndexError):
            pass  # the sizes do not fit together; the second way may do
        mixed = _with_whole_integers(get_inputs, full, wanted, seed)
        if mixed is not None:
            parts = [
                tensor if tuple(tensor.shape) == shape else resampled(tensor, shape)
                for tensor, shape in zip(mixed[1], wanted, strict=True)
            ]
            made = list(child_tensors.from_structure(mixed[0], parts))
            return _cast(made, specs), "the problem's get_inputs, integers by every so many"
    return _cast(_sliced(get_inputs, full, wanted, seed), specs), (
        "the leading part of the problem's inputs"
    )


def _with_whole_integers(
    get_inputs: Callable[[], Any], full: list[Shape], wanted: list[Shape], seed: int
) -> tuple[Any, list[torch.Tensor]] | None:
    """Arguments of the smaller sizes, those of integers whole; None where that does not fit."""
    torch.manual_seed(seed)
    try:
        with (
            child_guard.foreign_code(),
            SmallFactories(SizeMap(full, wanted), whole_integers=True),
        ):
            arguments = list(get_inputs())
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    tensors: list[torch.Tensor] = []
    structure = child_tensors.to_structure(arguments, tensors)
    for tensor, whole, shape in zip(tensors, full, wanted, strict=True):
        fits = {shape} if tensor.is_floating_point() else {shape, whole}
        if tuple(tensor.shape) not in fits:
            return None
    return structure, tensors


def _within(
    arguments: list[Any],
    get_inputs: Callable[[], Any],
    full: list[Shape],
    wanted: list[Shape],
    seed: int,
) -> list[Any]:
    """The arguments with integers that speak of sizes brought to the smaller ones."""
    tensors: list[torch.Tensor] = []
    structure = child_tensors.to_structure(arguments, tensors)
    if not any(tensor.dtype in INDICES for tensor in tensors):
        return arguments
    whole = _with_whole_integers(get_inputs, full, wanted, seed)
    if whole is None:
        return arguments
    sizes = [pair for a, b in zip(full, wanted, strict=True) for pair in zip(a, b, strict=True)]
    changed = []
    for tensor, values in zip(tensors, whole[1], strict=True):
        spoken = speaks_of(values, sizes)
        changed.append(tensor if spoken is None else brought_down(tensor, *spoken))
    return list(child_tensors.from_structure(structure, changed))


def _full_shapes(get_inputs: Callable[[], Any]) -> list[Shape] | None:
    try:
        with child_guard.foreign_code(), torch.device("meta"):
            return _shapes(list(get_inputs()))
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return None  # get_inputs looks at values


def _shapes(arguments: list[Any]) -> list[Shape]:
    tensors: list[torch.Tensor] = []
    child_tensors.to_structure(arguments, tensors)
    return [tuple(tensor.shape) for tensor in tensors]


def _sliced(
    get_inputs: Callable[[], Any], full: list[Shape] | None, wanted: list[Shape], seed: int
) -> list[Any]:
    if full is not None and sum(8 * math.prod(shape) for shape in full) > FULL_BYTES:
        raise InputsError("get_inputs cannot run at smaller sizes, and is too large to run whole")
    if full is None:  # shapes that follow from values: those of the trace come with its seed
        torch.manual_seed(SEED)
        with child_guard.foreign_code():
            arguments = list(get_inputs())
        if _shapes(arguments) == wanted:
            return arguments
    return _leading_parts(get_inputs, wanted, seed)


def _leading_parts(get_inputs: Callable[[], Any], wanted: list[Shape], seed: int) -> list[Any]:
    torch.manual_seed(seed)
    with child_guard.foreign_code():
        arguments = list(get_inputs())
    tensors: list[torch.Tensor] = []
    structure = child_tensors.to_structure(arguments, tensors)
    if len(tensors) != len(wanted):
        raise InputsError(f"get_inputs makes {len(tensors)} tensors, but {len(wanted)} shapes")
    parts = []
    for tensor, shape in zip(tensors, wanted, strict=True):
        if len(shape) != tensor.dim() or any(
            s > t for s, t in zip(shape, tensor.shape, strict=True)
        ):
            raise InputsError(f"no part of shape {shape} in an input of {tuple(tensor.shape)}")
        parts.append(tensor[tuple(slice(0, extent) for extent in shape)].clone())
    return list(child_tensors.from_structure(structure, parts))


def _cast(arguments: list[Any], specs: Sequence[dict[str, Any]]) -> list[Any]:
    tensors: list[torch.Tensor] = []
    structure = child_tensors.to_structure(arguments, tensors)
    cast = [
        tensor.detach().to(child_tensors.dtype_of(spec["dtype"]))
        for tensor, spec in zip(tensors, specs, strict=True)
    ]
    return list(child_tensors.from_structure(structure, cast))
