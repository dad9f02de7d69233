"""Inside the interpreting child: operations of Triton's interpreter as a GPU does them.

The interpreter computes with numpy. It differs from the compiled kernel where this matters for
results: it does not round `tl.dot` operands to TF32, it takes bfloat16 bits for integers (in
reductions and atomics too), it truncates float32 to bfloat16, it has no bfloat16 constants, and
it refuses libdevice. `install` puts this right; the names patched here exist in Triton 3.6 to 3.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton.language as tl
from triton._C.libtriton import ir
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from warpwright.interpreter import child_reductions
from warpwright.interpreter.child_numbers import (
    BIT_FLOATS,
    UnsupportedInInterpreterError,
    to_bits,
    to_numbers,
)
from warpwright.interpreter.reference import child_tf32

Values = npt.NDArray[Any]


def _is_bits(handle: TensorHandle) -> bool:
    return handle.dtype.scalar.name in BIT_FLOATS


def dot(
    _: InterpreterBuilder,
    a: TensorHandle,
    b: TensorHandle,
    d: TensorHandle,
    input_precision: Any,
    *_unused: Any,
) -> TensorHandle:
    """`tl.dot` with operands as the hardware sees them, accumulated in float32.

    float32 operands: the low 13 bits are cut for "tf32", three TF32 products for "tf32x3",
    nothing for "ieee". Integer products are exact; other types are multiplied as they are.
    """
    left, right = to_numbers(a), to_numbers(b)
    if left.dtype == np.float32 and a.dtype.scalar == tl.float32:
        product = _float32_product(left, right, input_precision)
    elif np.issubdtype(left.dtype, np.integer):
        product = np.matmul(left.astype(np.float64), right.astype(np.float64))
    elif left.dtype == np.float64:
        product = np.matmul(left, right)
    else:
        product = np.matmul(left.astype(np.float32), right.astype(np.float32))
    total = product.astype(d.data.dtype) if d.data.dtype.kind == "i" else product
    return TensorHandle(to_bits(total + to_numbers(d), d.dtype), d.dtype.scalar)


class TensorCorePrecision:
    """Whether this GPU's tensor cores take TF32 (compute capability 8.0 and later)."""

    has_tf32 = True


def _float32_product(left: Values, right: Values, precision: Any) -> Values:
    kinds = ir.INPUT_PRECISION
    product: Values
    if precision == kinds.IEEE or not TensorCorePrecision.has_tf32:
        product = np.matmul(left, right)
    elif precision == kinds.TF32:
        product = np.matmul(child_tf32.truncate(left), child_tf32.truncate(right))
    elif precision == kinds.TF32x3:
        (big_l, small_l), (big_r, small_r) = child_tf32.split(left), child_tf32.split(right)
        small = np.matmul(small_l, big_r) + np.matmul(big_l, small_r)
        product = np.nan_to_num(small, nan=0.0) + np.matmul(big_l, big_r)
    else:
        raise UnsupportedInInterpreterError(f"tl.dot with input precision {precision}")
    return product


def _cast(_: InterpreterBuilder, src: TensorHandle, dst_type: tl.dtype) -> TensorHandle:
    return TensorHandle(to_bits(to_numbers(src), dst_type), dst_type.scalar)


def _wrap_fp_to_fp(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_fp_to_fp(
        self: InterpreterBuilder, src: TensorHandle, dst_type: tl.dtype, rounding: Any
    ) -> Any:
        if rounding == ir.ROUNDING_MODE.RTZ:
            return original(self, src, dst_type, rounding)
        return _cast(self, src, dst_type)

    return create_fp_to_fp


def _wrap_numeric(original: Callable[..., Any], operands: int) -> Callable[..., Any]:
    """Operations on bfloat16 happen in float32 and are rounded once."""

    def operation(self: InterpreterBuilder, *args: Any) -> Any:
        handles, rest = args[:operands], args[operands:]
        if not any(_is_bits(handle) for handle in handles):
            return original(self, *args)
        dtype = handles[-1].dtype.scalar
        wide = [TensorHandle(to_numbers(h), tl.float32) if _is_bits(h) else h for h in handles]
        result = original(self, *wide, *rest)
        if result.data.dtype == np.bool_:
            return TensorHandle(result.data, tl.int1)
        return TensorHandle(to_bits(result.data, dtype), dtype)

    return operation


def _constant(_: InterpreterBuilder, value: float) -> TensorHandle:
    """A bfloat16 constant, as the compiler's builder has it (`tl.full`, `x * 2.5`)."""
    return TensorHandle(to_bits(np.array([value], dtype=np.float32), tl.bfloat16), tl.bfloat16)


def _wrap_atomic(original: Callable[..., Any]) -> Callable[..., Any]:
    """Atomic addition of bfloat16: lane after lane, rounded each time, as the memory does it."""

    def atomic_rmw(
        self: InterpreterBuilder,
        operation: Any,
        ptr: TensorHandle,
        val: TensorHandle,
        mask: TensorHandle,
        *rest: Any,
    ) -> TensorHandle:
        if not _is_bits(val) or operation == ir.ATOMIC_OP.XCHG:
            return original(self, operation, ptr, val, mask, *rest)
        if operation != ir.ATOMIC_OP.FADD:
            raise UnsupportedInInterpreterError(f"an atomic {operation} of {val.dtype.scalar}")
        old = np.zeros_like(val.data)
        added = to_numbers(val)
        lanes = np.broadcast_to(mask.data, val.data.shape)
        for lane in zip(*np.nonzero(lanes), strict=True):
            address, every = ptr.data[lane].reshape(1), np.ones(1, dtype=bool)
            here = interpreter._interpreter.load(address, every, old[lane].reshape(1), old.dtype)
            total = to_numbers(TensorHandle(here, val.dtype.scalar)) + added[lane]
            interpreter._interpreter.store(address, to_bits(total, val.dtype), every)
            old[lane] = here[0]
        return TensorHandle(old, val.dtype.scalar)

    return atomic_rmw


def _fma(_: InterpreterBuilder, x: TensorHandle, y: TensorHandle, z: TensorHandle) -> TensorHandle:
    """x·y + z rounded once, for float32; as numpy does it for the other types."""
    if z.data.dtype == np.float32:
        exact = x.data.astype(np.float64) * y.data.astype(np.float64) + z.data.astype(np.float64)
        return TensorHandle(exact.astype(np.float32), z.dtype.scalar)
    total = to_numbers(x) * to_numbers(y) + to_numbers(z)
    return TensorHandle(to_bits(total, z.dtype), z.dtype.scalar)


def _erf(_: InterpreterBuilder, arg: TensorHandle) -> TensorHandle:
    values = torch.erf(torch.from_numpy(np.ascontiguousarray(arg.data))).numpy()
    return TensorHandle(values, arg.dtype.scalar)


# CUDA's libdevice functions by name without prefix and type suffix.
SAME_IN_TORCH = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "copysign", "cos",
    "cosh", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor", "fmax", "fmin", "fmod",
    "hypot", "isinf", "isnan", "lgamma", "log", "log10", "log1p", "log2", "nextafter", "pow",
    "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
)  # fmt: skip
LIBDEVICE: dict[str, Callable[..., torch.Tensor]] = {
    **{name: getattr(torch, name) for name in SAME_IN_TORCH},
    "fabs": torch.abs,
    "rint": torch.round,
    "nearbyint": torch.round,
    "round": lambda x: torch.sign(x) * torch.floor(torch.abs(x) + 0.5),
    "fast_exp": torch.exp,
    "fast_tanh": torch.tanh,
    "fast_log": torch.log,
    "fast_sin": torch.sin,
    "fast_cos": torch.cos,
    "fast_pow": torch.pow,
    "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1.0 / 3.0),
    "fma": lambda x, y, z: (x.double() * y.double() + z.double()).to(z.dtype),
    "div_rn": torch.div,
    "fast_dividef": torch.div,
}


def _extern(
    _: InterpreterBuilder,
    _library: str,
    _path: str,
    symbol: str,
    arguments: list[TensorHandle],
    return_type: tl.dtype,
    *_rest: Any,
) -> TensorHandle:
    name = symbol.removeprefix("__nv_")
    function = LIBDEVICE.get(name) or LIBDEVICE.get(name.removesuffix("f"))
    if function is None:
        raise UnsupportedInInterpreterError(f"the libdevice function {symbol}")
    tensors = [torch.from_numpy(np.ascontiguousarray(to_numbers(arg))) for arg in arguments]
    return TensorHandle(to_bits(function(*tensors).numpy(), return_type), return_type.scalar)


def _unsupported(what: str) -> Callable[..., Any]:
    def operation(*_: Any, **__: Any) -> Any:
        raise UnsupportedInInterpreterError(what)

    return operation


def _nothing(*_: Any, **__: Any) -> None:
    return None


def install(compute_capability: int) -> None:
    """Patch the interpreter's builder for good; `compute_capability` as 89 for sm_89."""
    TensorCorePrecision.has_tf32 = compute_capability >= 80
    builder = InterpreterBuilder
    changes: dict[str, Any] = {
        "create_dot": dot,
        "cast_impl": _cast,
        "create_fp_to_fp": _wrap_fp_to_fp(builder.create_fp_to_fp),
        "binary_op": _wrap_numeric(builder.binary_op, 2),
        "unary_op": _wrap_numeric(builder.unary_op, 1),
        "create_clampf": _wrap_numeric(builder.create_clampf, 3),
        "create_rsqrt": _wrap_numeric(builder.create_rsqrt, 1),
        "create_atomic_rmw": _wrap_atomic(builder.create_atomic_rmw),
        "get_bf16": _constant,
        "create_fma": _fma,
        "create_erf": _erf,
        "create_extern_elementwise": _extern,
        "create_inline_asm": _unsupported("inline assembly"),
        # Promises to the compiler change no value; a shrunken shape may not keep them.
        "create_assume": _nothing,
        "create_print": _nothing,
    }
    for name, function in changes.items():
        setattr(builder, name, function)
    child_reductions.install()
    # Checks for integer overflow are a debugging aid: on a GPU integers wrap.
    interpreter.interpreter_builder.options = replace(
        interpreter.interpreter_builder.options, sanitize_overflow=False
    )
