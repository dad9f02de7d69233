"""Pointwise operations after a convolution, as Triton expressions on the fp32 accumulator."""

from __future__ import annotations

import math
from collections.abc import Sequence

from warpwright.types.conv2d import Pointwise

# `{y}` is the value, `{v}` the number that the operation takes. Comparisons are written so that
# NaN stays NaN, as in PyTorch; tl.maximum would drop it.
_EXPRESSIONS = {
    "relu": "tl.where({y} < 0.0, 0.0, {y})",
    "maximum": "tl.where({y} < {v}, {v}, {y})",
    "minimum": "tl.where({y} > {v}, {v}, {y})",
    "leaky_relu": "tl.where({y} > 0.0, {y}, {y} * {v})",
    "elu": "tl.where({y} > 0.0, {y}, (tl.exp({y}) - 1.0) * {v})",
    "add": "{y} + {v}",
    "mul": "{y} * {v}",
    "div": "{y} / {v}",
    "neg": "-{y}",
    "abs": "tl.abs({y})",
    "exp": "tl.exp({y})",
    "square": "{y} * {y}",
    "sigmoid": "tl.sigmoid({y})",
    "silu": "{y} * tl.sigmoid({y})",
    "softsign": "{y} / (1.0 + tl.abs({y}))",
    "tanh": "2.0 * tl.sigmoid(2.0 * {y}) - 1.0",
    "hardsigmoid": "tl.where({y} < -3.0, 0.0, tl.where({y} > 3.0, 1.0, {y} / 6.0 + 0.5))",
    "hardswish": "{y} * tl.where({y} < -3.0, 0.0, tl.where({y} > 3.0, 1.0, {y} / 6.0 + 0.5))",
    "gelu": "0.5 * {y} * (1.0 + tl.erf({y} * 0.7071067811865476))",
    "gelu_tanh": "{y} * tl.sigmoid(1.5957691216057308 * ({y} + 0.044715 * {y} * {y} * {y}))",
    "softplus": "tl.where({y} > 20.0, {y}, tl.log(1.0 + tl.exp({y})))",
    "mish": "{y} * (2.0 * tl.sigmoid(2.0 * tl.where({y} > 20.0, {y}, tl.log(1.0 + tl.exp({y}))))"
    " - 1.0)",
}
_TAKES_VALUE = frozenset({"maximum", "minimum", "leaky_relu", "elu", "add", "mul", "div"})


def not_writable(operations: Sequence[Pointwise]) -> str | None:
    """Which of the operations cannot be written, as a clause; None if all can."""
    for operation in operations:
        if operation.function not in _EXPRESSIONS:
            return f"{operation.function} is not among the pointwise operations that can be written"
        if (operation.value is None) == (operation.function in _TAKES_VALUE):
            return f"{operation.function} with the number {operation.value}"
        if operation.value is not None and not math.isfinite(operation.value):
            return f"{operation.function} with the number {operation.value}"
    return None


def statements(operations: Sequence[Pointwise], name: str) -> list[str]:
    """One assignment to `name` for each operation."""
    found = []
    for operation in operations:
        value = "" if operation.value is None else repr(float(operation.value))
        expression = _EXPRESSIONS[operation.function].format(y=name, v=value)
        found.append(f"{name} = {expression}")
    return found
