"""Inside the interpreting child: reductions and scans of Triton's interpreter as a GPU does them.

The interpreter hands a block's stored values to numpy. Where numpy lacks the type (bfloat16 and
float8 are kept as integers) it adds their bits, and float16 it adds one by one. On a GPU each
addition is rounded to the type, and the additions form a tree; so they do here. A combining
function of the program's own is called for whole halves of a block, not once for each element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import triton.language as tl
from triton.runtime.interpreter import ReduceOps, ScanOps, TensorHandle

from warpwright.interpreter.child_numbers import BIT_FLOATS, to_bits, to_numbers

Values = npt.NDArray[Any]
Tensors = Sequence[Any]
Combine = Callable[[Tensors, Tensors], list[Any]]

ROUNDED_EACH_TIME = frozenset({"fp16", *BIT_FLOATS})


class _BranchesOnElementsError(Exception):
    """A combining function takes a way for each element: it cannot be called for a block."""


def install() -> None:
    """Patch the interpreter's reductions and scans for good."""
    ReduceOps.sum = _sum(ReduceOps.sum)
    ReduceOps.min_max = _in_numbers(ReduceOps.min_max)
    ReduceOps.generic_reduce = _in_blocks(ReduceOps.generic_reduce, _reduced)
    ScanOps.cumsum = _running(ScanOps.cumsum, np.add)
    ScanOps.cumprod = _running(ScanOps.cumprod, np.multiply)
    ScanOps.generic_scan = _in_blocks(ScanOps.generic_scan, _scanned)


def _rounded(values: Values, dtype: tl.dtype) -> Values:
    """Numbers (float32) as the type can hold them."""
    return to_numbers(TensorHandle(to_bits(values, dtype), dtype.scalar)).astype(np.float32)


def _numbers(tensor: Any) -> Values:
    return to_numbers(tensor.handle).astype(np.float32)


def _sum(original: Callable[..., Any]) -> Callable[..., Any]:
    def sum_(self: Any, input: Any) -> Any:
        if input.dtype.scalar.name not in ROUNDED_EACH_TIME:
            return original(self, input)
        values, axis = _numbers(input), self.axis
        dims = values.ndim
        if axis is None:
            values, axis = values.reshape(-1), 0
        values = np.moveaxis(values, axis, 0)
        while len(values) > 1:
            even = len(values) // 2 * 2
            halves = _rounded(values[0:even:2] + values[1:even:2], input.dtype)
            values = np.concatenate([halves, values[even:]])
        if not self.keep_dims:
            values = values[0]
        elif self.axis is None:
            values = values.reshape((1,) * dims)
        else:
            values = np.moveaxis(values, 0, axis)
        return self.to_tensor(to_bits(values, input.dtype), input.dtype)

    return sum_


def _in_numbers(original: Callable[..., Any]) -> Callable[..., Any]:
    """`min_max` compares numbers, whatever they are stored as."""

    def min_max(self: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
        first = input[0] if isinstance(input, tuple) else input
        dtype = first.dtype
        if dtype.scalar.name not in BIT_FLOATS:
            return original(self, input, *args, **kwargs)
        found = original(self, self.to_tensor(_numbers(first), tl.float32), *args, **kwargs)
        both = found if isinstance(found, tuple) else (found,)
        stored = tuple(
            self.to_tensor(_bits_of(each, dtype), dtype) if each.dtype == tl.float32 else each
            for each in both
        )
        return stored if isinstance(found, tuple) else stored[0]

    return min_max


def _bits_of(tensor: Any, dtype: tl.dtype) -> Values:
    """A result's values as the type stores them; a scalar's as an array without axes."""
    values: Values = (
        tensor.handle.data if tensor.type.is_block() else tensor.handle.data.reshape(())
    )
    return to_bits(values, dtype).reshape(values.shape)


def _running(original: Callable[..., Any], operation: Any) -> Callable[..., Any]:
    def scan(self: Any, input: Any) -> Any:
        dtype = input.dtype
        if dtype.scalar.name not in ROUNDED_EACH_TIME:
            return original(self, input)
        values = np.moveaxis(_numbers(input), self.axis, 0)
        step = 1
        while step < len(values):
            later = _rounded(operation(values[:-step], values[step:]), dtype)
            values = np.concatenate([values[:step], later])
            step *= 2
        return [self.to_tensor(to_bits(np.moveaxis(values, 0, self.axis), dtype), dtype)]

    return scan


def _in_blocks(
    original: Callable[..., Any], ours: Callable[[Any, Tensors], list[Any]]
) -> Callable[..., Any]:
    """Our way, which calls the combining function for blocks; the original where it cannot be."""

    def combined(self: Any, input: Any) -> Any:
        try:
            with _whole_blocks_only():
                return ours(self, input)
        except _BranchesOnElementsError:
            return original(self, input)

    return combined


def _reduced(self: Any, input: Tensors) -> list[Any]:
    """Neighbours are combined, then neighbours of these: the order of the elements is kept."""
    dims = input[0].handle.data.ndim
    dtypes = [each.dtype for each in input]
    axis = 0 if self.axis is None else self.axis
    stored = [each.handle.data for each in input]
    if self.axis is None:
        stored = [values.reshape(-1) for values in stored]
    stored = [np.moveaxis(values, axis, 0) for values in stored]
    while len(stored[0]) > 1:
        left = [self.to_tensor(values[0::2], d) for values, d in zip(stored, dtypes, strict=True)]
        right = [self.to_tensor(values[1::2], d) for values, d in zip(stored, dtypes, strict=True)]
        stored = _combined(self, left, right, dtypes)
    results = []
    for values, dtype in zip(stored, dtypes, strict=True):
        if not self.keep_dims:
            values = values[0]
        elif self.axis is None:
            values = values.reshape((1,) * dims)
        else:
            values = np.moveaxis(values, 0, axis)
        results.append(self.to_tensor(values, dtype))
    return results


def _scanned(self: Any, input: Tensors) -> list[Any]:
    """In steps of 1, 2, 4, …: each element takes in the one so far before it."""
    dtypes = [each.dtype for each in input]
    stored = [np.moveaxis(each.handle.data, self.axis, 0) for each in input]
    step = 1
    while step < len(stored[0]):
        before = [np.roll(values, step, axis=0) for values in stored]
        left = [self.to_tensor(values, d) for values, d in zip(before, dtypes, strict=True)]
        right = [self.to_tensor(values, d) for values, d in zip(stored, dtypes, strict=True)]
        combined = _combined(self, left, right, dtypes)
        stored = [
            np.concatenate([values[:step], new[step:]])
            for values, new in zip(stored, combined, strict=True)
        ]
        step *= 2
    return [
        self.to_tensor(np.moveaxis(values, 0, self.axis), dtype)
        for values, dtype in zip(stored, dtypes, strict=True)
    ]


def _combined(self: Any, left: Tensors, right: Tensors, dtypes: Sequence[Any]) -> list[Values]:
    """What the combining function makes of two blocks, as each type stores it."""
    made = self.combine_fn.fn(*left, *right)
    results = []
    for each, dtype, like in zip(
        made if isinstance(made, tuple) else (made,), dtypes, left, strict=True
    ):
        shape = like.handle.data.shape
        if not isinstance(each, tl.tensor):
            values = to_bits(np.full(shape, getattr(each, "value", each)), dtype)
        elif each.dtype == dtype:
            values = each.handle.data
        else:
            values = to_bits(to_numbers(each.handle), dtype)
        results.append(np.broadcast_to(values, shape))
    return results


@contextmanager
def _whole_blocks_only() -> Iterator[None]:
    """A block that is asked whether it is true is an error here; the interpreter says yes."""
    before = tl.tensor.__bool__

    def is_true(tensor: Any) -> bool:
        if tensor.handle.data.size != 1 or tensor.type.is_block():
            raise _BranchesOnElementsError
        return bool(before(tensor))

    tl.tensor.__bool__ = is_true
    try:
        yield
    finally:
        tl.tensor.__bool__ = before
