"""What single TTIR operations cost: floating-point operations by rate class, bytes of an access."""

from __future__ import annotations

import re

from warpwright.types.kernel_ir import IrOperation, TensorType

_FLOAT = frozenset(
    (
        "arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.remf", "arith.maximumf",
        "arith.minimumf", "arith.maxnumf", "arith.minnumf", "tt.precise_divf", "tt.precise_sqrt",
        "tt.clampf",
    )
)  # fmt: skip
_FREE_MATH = frozenset(("math.absf", "math.absi", "math.copysign"))
_PRECISION = re.compile(r"inputPrecision = (\w+)")
_SPLIT_PASSES = {"tf32x3": ("tf32", 3), "bf16x3": ("bf16", 3), "bf16x6": ("bf16", 6)}
_PRODUCT_CLASS = {"f16": "fp16", "bf16": "bf16"}
_BYTES = {
    "i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8,
}  # fmt: skip


def moved_bytes(operation: IrOperation) -> float | None:
    """Bytes that an access asks for, all lanes counted; None where its type is not read."""
    kinds = operation.types
    if not kinds:
        return None
    kind = kinds[0] if kinds[0].pointer else kinds[-1]
    size = element_bytes(kind.element)
    return None if size is None else float(kind.elements * size)


def element_bytes(element: str) -> int | None:
    """Bytes of an element type by MLIR's name; all its 8-bit floats begin with `f8`."""
    return 1 if element.startswith("f8") else _BYTES.get(element)


class UncountedError(Exception):
    """An operation whose work is not known; the text says what is not known of it."""


def float_operations(operation: IrOperation) -> tuple[str, float] | None:
    """Rate class and floating-point operations of one operation; None where it does none.

    A multiply-add is two. Raises `UncountedError`.
    """
    name = operation.name
    if name == "tt.dot":
        return _of_dot(operation)
    if name in ("tt.dot_scaled", "tt.call"):
        raise UncountedError(f"the operations of {name}")
    if name == "tt.reduce":
        counted = _of_reduction(operation)
    else:
        counted = _on_lanes(operation, operation.types[-1]) if operation.types else 0
    return ("fp32", float(counted)) if counted else None


def _on_lanes(operation: IrOperation, kind: TensorType) -> int:
    """Operations of an element-wise f32 operation on all its lanes; 0 for anything else."""
    name = operation.name
    if kind.element != "f32" or kind.pointer or name in _FREE_MATH:
        return 0
    if name == "math.fma":
        return 2 * kind.elements
    if name in _FLOAT or name.startswith("math.") or name == "tt.extern_elementwise":
        return kind.elements
    return 0


def _of_dot(operation: IrOperation) -> tuple[str, float]:
    if len(operation.types) < 3 or not operation.types[0].shape:
        raise UncountedError("the shape of a product")
    left, result = operation.types[0], operation.types[2]
    match = _PRECISION.search(operation.text)
    rate, passes = _rate(left.element, "ieee" if match is None else match[1])
    if rate is None:
        raise UncountedError(f"a rate for products of {left.element}")
    return rate, 2.0 * result.elements * left.shape[-1] * passes


def _rate(element: str, precision: str) -> tuple[str | None, int]:
    """Rate class of a product, and how many products the hardware does for it."""
    if element in _PRODUCT_CLASS:
        return _PRODUCT_CLASS[element], 1
    if element.startswith("f8"):
        return "fp8", 1
    if element != "f32":
        return None, 1
    if precision in _SPLIT_PASSES:
        return _SPLIT_PASSES[precision]
    return ("tf32" if precision == "tf32" else "fp32"), 1


def _of_reduction(operation: IrOperation) -> int:
    """A reduction combines as many times as it has elements more going in than coming out."""
    half = len(operation.types) // 2
    if not operation.regions or not half:
        return 0
    combined = max(0, operation.types[0].elements - operation.types[half].elements)
    inside = sum(
        _on_lanes(inner, inner.types[-1])
        for inner in operation.regions[0].operations
        if inner.types
    )
    return combined * inside
