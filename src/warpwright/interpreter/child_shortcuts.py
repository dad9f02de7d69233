"""Inside the interpreting child: short cuts for the operations that kernels do most.

Triton's interpreter builds types, casts and broadcasts anew for each operation, which costs fifty
times the numpy operation itself. The short cuts here take the cases that need none of it (equal
dtypes, shapes that numpy broadcasts the same way, small constants) and hand all others to the
original; the results are bit for bit the same, which tests assert.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

Values = npt.NDArray[Any]
Shape = tuple[int, ...]

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "fp32": np.dtype(np.float32),
    "int1": np.dtype(np.bool_),
}
NUMBERS = ("int32", "int64", "fp32")
INTEGERS = ("int1", "int32", "int64")
INT_LIMITS = {"int32": 2**31, "int64": 2**63}
ARITHMETIC: dict[str, Any] = {"__add__": np.add, "__sub__": np.subtract, "__mul__": np.multiply}
REVERSED: dict[str, Any] = {"__radd__": np.add, "__rmul__": np.multiply}
COMPARISONS: dict[str, Any] = {
    "__lt__": np.less,
    "__le__": np.less_equal,
    "__gt__": np.greater,
    "__ge__": np.greater_equal,
    "__eq__": np.equal,
    "__ne__": np.not_equal,
}
# Element types that are loaded or cast as numpy has them.
PLAIN: dict[str, np.dtype[Any]] = {
    **NUMPY_DTYPES,
    "fp16": np.dtype(np.float16),
    "fp64": np.dtype(np.float64),
}
LOGIC = {"__and__": operator.and_, "__or__": operator.or_, "__xor__": operator.xor}

del PLAIN["int1"]  # bytes in memory, bits in the language

_prototypes: dict[tuple[str, Shape | None], Any] = {}
_numpy_dtypes: dict[str, np.dtype[Any]] = {}


def install() -> None:
    """Put the short cuts before the operators of `tl.tensor`; the language is patched before."""
    kind = tl.tensor
    for name, operation in (ARITHMETIC | REVERSED).items():
        setattr(kind, name, _elementwise(operation, getattr(kind, name), NUMBERS))
    kind.__add__ = _pointer_add(kind.__add__)
    for name, operation in COMPARISONS.items():
        setattr(kind, name, _elementwise(operation, getattr(kind, name), NUMBERS, tl.int1))
    for name, operation in LOGIC.items():
        setattr(kind, name, _elementwise(operation, getattr(kind, name), INTEGERS))
    kind.__floordiv__ = _division(np.floor_divide, kind.__floordiv__)
    kind.__mod__ = _division(np.remainder, kind.__mod__)
    kind.__getitem__ = _new_axes(kind.__getitem__)
    kind.to = _cast(kind.to)
    for module in (tl, tl.core):
        module.load = _load(module.load)
        module.where = _where(module.where)
    original = interpreter._get_np_dtype
    interpreter._get_np_dtype = _remembered(original)


def _remembered(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_np_dtype(dtype: Any) -> Any:
        found = _numpy_dtypes.get(dtype.name)
        if found is None:
            found = _numpy_dtypes[dtype.name] = original(dtype)
        return found

    return get_np_dtype


def _shape(tensor: Any) -> Shape | None:
    """Block shape, or None for a scalar (whose data has shape (1,))."""
    return tensor.handle.data.shape if tensor.type.is_block() else None


def _tensor(data: Values, dtype: Any, shape: Shape | None) -> Any:
    """What `tl.tensor(TensorHandle(data, dtype), …)` makes, from a remembered twin."""
    key = (dtype.name, shape)
    prototype = _prototypes.get(key)
    if prototype is None:
        kind = dtype if shape is None else tl.block_type(dtype, list(shape))
        prototype = _prototypes[key] = tl.tensor(TensorHandle(data, dtype), kind)
    handle = TensorHandle.__new__(TensorHandle)
    handle.data, handle.dtype, handle.attr = data, dtype, {}
    result = tl.tensor.__new__(tl.tensor)
    result.__dict__.update(prototype.__dict__)
    result.handle = handle
    return result


def _together(a: Shape | None, b: Shape | None) -> tuple[bool, Shape | None]:
    """Whether numpy broadcasts two shapes as Triton does, and to what."""
    if a == b or b is None:
        return True, a
    if a is None:
        return True, b
    if len(a) != len(b) or any(x != y and x != 1 and y != 1 for x, y in zip(a, b, strict=True)):
        return False, None
    return True, tuple(map(max, a, b))


def _operand(tensor: Any, other: Any, dtype: np.dtype[Any]) -> tuple[Any, Shape | None] | None:
    """The other operand in the tensor's own dtype, and its shape; None: not a simple case."""
    if type(other) is tl.constexpr:
        other = other.value
    if type(other) is tl.tensor:
        data = other.handle.data
        if other.dtype.name != tensor.dtype.name or data.dtype != dtype:
            return None
        return data, _shape(other)
    if isinstance(other, int) and not isinstance(other, bool):
        limit = INT_LIMITS.get(tensor.dtype.name)
        if limit is not None and -limit <= other < limit:
            return dtype.type(other), None
        if dtype == np.float32 and abs(other) < 2**24:
            return np.float32(other), None
    elif type(other) is float and dtype == np.float32:
        return np.float32(other), None
    return None


def _simple(self: Any, other: Any, names: tuple[str, ...]) -> tuple[Any, Shape | None] | None:
    dtype = NUMPY_DTYPES.get(self.dtype.name)
    if dtype is None or self.dtype.name not in names or self.handle.data.dtype != dtype:
        return None
    operand = _operand(self, other, dtype)
    if operand is None:
        return None
    fits, shape = _together(_shape(self), operand[1])
    return (operand[0], shape) if fits else None


def _elementwise(operation: Any, original: Any, names: tuple[str, ...], result: Any = None) -> Any:
    """`result`: dtype of the result; None: the tensor's own."""

    def operator_(self: Any, other: Any) -> Any:
        case = _simple(self, other, names)
        if case is None:
            return original(self, other)
        return _tensor(operation(self.handle.data, case[0]), result or self.dtype, case[1])

    return operator_


def _division(operation: Any, original: Any) -> Any:
    """Only where no operand is negative: there Python's and C's rounding agree."""

    def operator_(self: Any, other: Any) -> Any:
        case = _simple(self, other, ("int32", "int64"))
        if case is None or np.min(self.handle.data) < 0 or np.min(case[0]) <= 0:
            return original(self, other)
        return _tensor(operation(self.handle.data, case[0]), self.dtype, case[1])

    return operator_


def _pointer_add(original: Any) -> Any:
    def operator_(self: Any, other: Any) -> Any:
        if (
            type(other) is not tl.tensor
            or not self.dtype.is_ptr()
            or other.dtype.name not in INT_LIMITS
        ):
            return original(self, other)
        fits, shape = _together(_shape(self), _shape(other))
        if not fits:
            return original(self, other)
        itemsize = max(1, self.dtype.element_ty.primitive_bitwidth // 8)
        offset = other.handle.data.astype(np.int64) * itemsize
        data = self.handle.data + offset.astype(np.uint64)
        return _tensor(data, self.dtype, shape)

    return operator_


def _new_axes(original: Any) -> Any:
    """`x[:, None]` and the like."""
    whole = slice(None)

    def operator_(self: Any, slices: Any) -> Any:
        if type(slices) is not tuple or not self.type.is_block():
            return original(self, slices)
        if any(item is not None and item != whole for item in slices):
            return original(self, slices)
        if sum(item is not None for item in slices) != self.handle.data.ndim:
            return original(self, slices)
        data = self.handle.data[slices]
        return _tensor(data, self.dtype, data.shape)

    return operator_


def _cast(original: Any) -> Any:
    """`x.to(dtype)` between numpy's own types."""

    def operator_(self: Any, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        target = dtype.value if type(dtype) is tl.constexpr else dtype
        wanted = PLAIN.get(getattr(target, "name", ""))
        if args or kwargs or wanted is None or self.dtype.name not in PLAIN:
            return original(self, dtype, *args, **kwargs)
        return _tensor(self.handle.data.astype(wanted), target, _shape(self))

    return operator_


def _load(original: Any) -> Any:
    """Loads of a block of pointers with at most a mask and a plain number for the rest."""

    def load(pointer: Any, mask: Any = None, other: Any = None, *args: Any, **kwargs: Any) -> Any:
        case = None
        if not args and not kwargs.get("boundary_check") and not kwargs.get("padding_option"):
            case = _load_case(pointer, mask, other)
        if case is None:
            return original(pointer, mask, other, *args, **kwargs)
        lanes, fill = case
        builder = interpreter.interpreter_builder
        handle = builder.create_masked_load(pointer.handle, lanes, fill, None, None, False)
        return _tensor(handle.data, pointer.dtype.element_ty, pointer.handle.data.shape)

    return load


def _load_case(pointer: Any, mask: Any, other: Any) -> tuple[Any, Any] | None:
    """Lanes and values for the lanes left out (None: undefined), or None: no simple case."""
    if type(pointer) is not tl.tensor or not pointer.type.is_block() or not pointer.dtype.is_ptr():
        return None
    dtype = PLAIN.get(pointer.dtype.element_ty.name)
    shape = pointer.handle.data.shape
    other = other.value if type(other) is tl.constexpr else other
    if dtype is None or not (other is None or type(other) in (int, float)):
        return None
    if dtype.kind == "i" and type(other) is float and not other.is_integer():
        return None
    if mask is None:
        if other is not None:
            return None  # an error, which the original tells
        lanes = np.ones(shape, dtype=bool)
    elif type(mask) is tl.tensor and mask.dtype.name == "int1":
        if _together(shape, _shape(mask)) != (True, shape):
            return None
        lanes = np.broadcast_to(mask.handle.data, shape)
    else:
        return None
    element = pointer.dtype.element_ty
    if other is None:
        return TensorHandle(lanes, tl.int1), None
    return TensorHandle(lanes, tl.int1), TensorHandle(np.full(shape, other, dtype=dtype), element)


def _where(original: Any) -> Any:
    def where(condition: Any, x: Any, y: Any, **kwargs: Any) -> Any:
        simple = type(condition) is tl.tensor and condition.dtype.name == "int1" and not kwargs
        case = _where_case(condition, x, y) if simple else None
        if case is None:
            return original(condition, x, y, **kwargs)
        left, right, dtype, shape = case
        data = np.where(condition.handle.data, left, right)
        return _tensor(data, dtype, shape)

    return where


def _where_case(condition: Any, x: Any, y: Any) -> tuple[Any, Any, Any, Shape | None] | None:
    first, second = (x, y) if type(x) is tl.tensor else (y, x)
    if type(first) is not tl.tensor:
        return None
    case = _simple(first, second, NUMBERS)
    if case is None:
        return None
    fits, shape = _together(_shape(condition), case[1])
    if not fits:
        return None
    values = (first.handle.data, case[0])
    left, right = values if first is x else values[::-1]
    return left, right, first.dtype, shape
