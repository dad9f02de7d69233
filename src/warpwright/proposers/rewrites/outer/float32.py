"""Which values of a kernel are float32, where all tensors that it is given are."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import DescriptorArgument, TensorArgument

_SAME_TYPE = frozenset({
    "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "abs", "floor", "ceil", "sigmoid", "sin", "cos",
    "erf", "maximum", "minimum", "fma", "clamp",
})  # fmt: skip
_REINTERPRET = frozenset({"pointer_type", "bitcast", "make_block_ptr", "inline_asm_elementwise"})
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def all_float32(call: KernelCalls) -> bool:
    """Whether every tensor of every launch is float32, and none comes as a descriptor."""
    arguments = [a for launch in call.launches for a in launch.arguments.values()]
    tensors = [argument for argument in arguments if isinstance(argument, TensorArgument)]
    described = any(isinstance(argument, DescriptorArgument) for argument in arguments)
    alike = all(tensor.dtype == "float32" for tensor in tensors)
    return bool(tensors) and alike and not described


def reinterprets(kernel: KernelText) -> bool:
    """Whether the kernel reads memory as another type than the tensor's anywhere."""
    for node in ast.walk(kernel.node):
        names = {getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "arg", None)}
        if names & _REINTERPRET:
            return True
    return False


def is_float32(node: ast.expr, kernel: KernelText, local: Mapping[str, ast.expr]) -> bool:
    """Whether an expression is surely float32: made of loads, casts and arithmetic.

    `local`: what the names are that are assigned once.
    """
    if isinstance(node, ast.Name):
        return node.id in local and is_float32(local[node.id], kernel, _without(local, node.id))
    if isinstance(node, ast.Subscript):
        return is_float32(node.value, kernel, local)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return is_float32(node.operand, kernel, local)
    if isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC):
        return _all([node.left, node.right], kernel, local)
    return isinstance(node, ast.Call) and _is_float32_call(node, kernel, local)


def _is_float32_call(node: ast.Call, kernel: KernelText, local: Mapping[str, ast.expr]) -> bool:
    called = kernel.called(node)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if called == "load":
        return True
    if called in ("cast", "zeros", "full") or (called is None and method == "to"):
        types = [*node.args, *(keyword.value for keyword in node.keywords)]
        return any(kernel.path(argument) == "float32" for argument in types)
    if called == "where" and len(node.args) == 3:
        return _all(node.args[1:], kernel, local)
    return called in _SAME_TYPE and _all(node.args, kernel, local)


def _all(values: list[ast.expr], kernel: KernelText, local: Mapping[str, ast.expr]) -> bool:
    """Whether all are float32 but for plain numbers and parameters, which take on the type."""
    parameters = {parameter.arg for parameter in kernel.parameters}
    rest = [
        value
        for value in values
        if not isinstance(value, ast.Constant)
        and not (isinstance(value, ast.Name) and value.id in parameters)
    ]
    return bool(rest) and all(is_float32(value, kernel, local) for value in rest)


def _without(local: Mapping[str, ast.expr], name: str) -> dict[str, ast.expr]:
    return {key: value for key, value in local.items() if key != name}
