"""Inside a tracing child: the arguments of a launch as JSON, with the types Triton gives them."""

from __future__ import annotations

import operator
from typing import Any

import torch

from warpwright.tracing.child_trace_torch import StandIns

INT32 = (-(2**31), 2**31 - 1)
INT64_MAX = 2**63 - 1


class ArgumentError(Exception):
    """A value that cannot be passed to a kernel."""


def encode_tensor(mode: StandIns, tensor: torch.Tensor) -> dict[str, Any]:
    return {
        "kind": "tensor",
        "dtype": dtype_name(tensor.dtype),
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "aligned": mode.address(tensor) % 16 == 0,
        "storage": mode.storage_number(tensor),
    }


def encode_scalar(parameter: Any, value: Any) -> dict[str, Any]:
    """An int, float or bool with Triton's type; anything else is refused as Triton would."""
    annotated = getattr(parameter, "annotation_type", "")
    if isinstance(value, bool):
        kind = "u1"
    elif isinstance(value, int):
        low, high = INT32
        kind = "i32" if low <= value <= high else ("i64" if value <= INT64_MAX else "u64")
    elif isinstance(value, float):
        kind = "fp32"
    else:
        raise ArgumentError(
            f"argument {parameter.name} is {type(value).__name__}, which a trace cannot pass"
        )
    return {
        "kind": "scalar",
        "value": value,
        "type": annotated or kind,
        "annotated": bool(annotated),
    }


def encode_constant(value: Any) -> dict[str, Any]:
    """A constexpr value as JSON: see `types.trace.ConstantArgument`."""
    value = getattr(value, "value", value) if is_constexpr(value) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"kind": "constant", "value": value, "text": repr(value)}
    if is_triton_dtype(value):
        text = triton_dtype_text(value)
    elif isinstance(value, torch.dtype):
        text = f"tl.{dtype_name(value)}"
    elif is_jit_function(value):
        text = f"@{value.fn.__name__}"
    elif hasattr(value, "__index__") and not isinstance(value, torch.Tensor):
        number = operator.index(value)
        return {"kind": "constant", "value": number, "text": repr(number)}
    else:
        text = repr(value)
    return {"kind": "constant", "value": text, "text": text}


def dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def is_descriptor(value: Any) -> bool:
    return hasattr(value, "block_shape") and hasattr(value, "base") and hasattr(value, "strides")


def is_constexpr(value: Any) -> bool:
    from triton.language import constexpr

    return isinstance(value, constexpr)


def is_triton_dtype(value: Any) -> bool:
    from triton.language import dtype

    return isinstance(value, dtype)


def triton_dtype_text(value: Any) -> str:
    """`tl.float32` for Triton's dtype fp32."""
    import triton.language as tl

    for name, candidate in vars(tl).items():
        if is_triton_dtype(candidate) and candidate == value:
            return f"tl.{name}"
    return str(value)


def is_jit_function(value: Any) -> bool:
    from triton.runtime.jit import JITFunction

    return isinstance(value, JITFunction)
