"""Inside the recognising child: what a graph of torch operators is, beside its convolution.

A graph is read from its output back: pointwise operations, each with one tensor, down to one
`aten.conv2d` whose operands are the model's input and its parameters. Anything else is told.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten


class NotRecognizedError(Exception):
    """The model is something else than one conv2d with pointwise operations; the reason."""


Step = tuple[str, float | None]
"""A pointwise operation and the number that it takes."""

CONVOLUTIONS = {aten.conv2d.default, aten.conv2d.padding}
# Operators that leave every value as it is.
NOTHING = {
    aten.alias.default, aten.contiguous.default, aten.clone.default, aten.detach.default,
    aten.detach_.default, aten.lift_fresh_copy.default,
}  # fmt: skip
CHECKS = {aten._assert_tensor_metadata.default}  # export's own; they compute nothing
# torch.nn.SELU's, from its documentation.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
RANDOM = "dropout in training mode: the output is random"
PLAIN = {
    aten.relu.default: "relu",
    aten.sigmoid.default: "sigmoid",
    aten.tanh.default: "tanh",
    aten.silu.default: "silu",
    aten.mish.default: "mish",
    aten.hardswish.default: "hardswish",
    aten.hardsigmoid.default: "hardsigmoid",
    aten.abs.default: "abs",
    aten.neg.default: "neg",
    aten.exp.default: "exp",
    aten.square.default: "square",
}
# Operations of one value that are written out with it twice: operator, and what stands beside it.
WRITTEN_OUT: dict[tuple[Any, tuple[Step, ...]], str] = {
    (aten.mul.Tensor, (("sigmoid", None),)): "silu",
    (aten.mul.Tensor, (("softplus", None), ("tanh", None))): "mish",
    (aten.mul.Tensor, ()): "square",
    (aten.div.Tensor, (("abs", None), ("add", 1.0))): "softsign",
}
MOST_BESIDE = 3  # operators that may stand beside it


def chain_of(graph: torch.fx.Graph, output: str) -> tuple[torch.fx.Node, list[Step]]:
    """The convolution's node, and the operations after it in the order in which they run.

    Raises `NotRecognizedError`.
    """
    nodes = {node.name: node for node in graph.nodes}
    convolutions = [node for node in _calls(graph) if node.target in CONVOLUTIONS]
    if len(convolutions) != 1:
        raise NotRecognizedError(_count(_calls(graph), len(convolutions)))
    steps: list[Step] = []
    node = nodes[output]
    while node is not convolutions[0]:
        if node.op == "placeholder":
            raise NotRecognizedError("the output does not depend on the convolution")
        made, node = _step(node)
        steps += reversed(made)
    return node, steps[::-1]


def nothing_besides(graph: torch.fx.Graph, output: str) -> None:
    """Raises `NotRecognizedError` if the graph computes what the output does not hang on."""
    nodes = {node.name: node for node in graph.nodes}
    needed, waiting = set(), [nodes[output]]
    while waiting:
        node = waiting.pop()
        needed.add(node)
        waiting += [source for source in node.all_input_nodes if source not in needed]
    idle = [node for node in _calls(graph) if node not in needed]
    if idle:
        raise NotRecognizedError(f"it also computes {_name(idle[0])}, beside the convolution")


def _calls(graph: torch.fx.Graph) -> list[torch.fx.Node]:
    return [
        node
        for node in graph.nodes
        if node.op not in ("placeholder", "output") and node.target not in CHECKS
    ]


def _count(calls: list[torch.fx.Node], convolutions: int) -> str:
    if convolutions:
        return f"it has {convolutions} convolutions"
    others = ", ".join(dict.fromkeys(map(_name, calls))) or "no operator at all"
    return f"it has no conv2d (it has: {others[:200]})"


def _name(node: torch.fx.Node) -> str:
    return str(node.target).removeprefix("aten.").removesuffix(".default")


def _step(node: torch.fx.Node) -> tuple[list[Step], torch.fx.Node]:
    """The operations that a node stands for (in order), and the tensor that it takes."""
    if node.target is operator.getitem:  # one of several results
        node = node.args[0]
        if node.target is aten.native_dropout.default:
            raise NotRecognizedError(RANDOM)
        raise NotRecognizedError(f"{_name(node)} after the convolution is no pointwise operation")
    if (written_out := _written_out(node)) is not None:
        return written_out
    tensors = node.all_input_nodes
    if len(tensors) != 1:
        what = "two tensors" if len(tensors) > 1 else "no tensor"
        raise NotRecognizedError(f"{_name(node)} after the convolution takes {what}")
    source = tensors[0]
    if node.target in NOTHING:
        _same_layout(node, source)
        return [], source
    if node.target in PLAIN:
        return [(PLAIN[node.target], None)], source
    if node.target is aten._to_copy.default:
        return _copy(node, source)
    read = READERS.get(node.target)
    if read is None:
        raise NotRecognizedError(f"{_name(node)} after the convolution is no pointwise operation")
    values = [value for value in node.args if value is not source]
    # (a number on the left of a commutative operator stands first)
    if node.args and node.args[0] is not source and node.target not in COMMUTATIVE:
        raise NotRecognizedError(f"{_name(node)} takes the convolution's output as an operand")
    if sum(value is source for value in node.args) > 1:
        raise NotRecognizedError(f"{_name(node)} takes one value twice")
    return read(values, dict(node.kwargs)), source


def _written_out(node: torch.fx.Node) -> tuple[list[Step], torch.fx.Node] | None:
    """`y * sigmoid(y)` and the like as the one operation that they are; None for anything else."""
    if len(node.args) != 2 or not all(isinstance(value, torch.fx.Node) for value in node.args):
        return None
    pairs = [node.args]
    if node.target in COMMUTATIVE:
        pairs.append(node.args[::-1])
    for value, beside in pairs:
        steps = _steps_between(value, beside)
        if steps is not None and (node.target, steps) in WRITTEN_OUT:
            return [(WRITTEN_OUT[node.target, steps], None)], value
    return None


def _steps_between(value: torch.fx.Node, last: torch.fx.Node) -> tuple[Step, ...] | None:
    """The operations that make `last` of `value`, in order; None where these are not all."""
    steps: list[Step] = []
    for _ in range(MOST_BESIDE):
        if last is value:
            break
        if last.target in CONVOLUTIONS or len(last.all_input_nodes) != 1:
            return None
        made, last = _step(last)
        steps += reversed(made)
    return tuple(steps[::-1]) if last is value else None


def _same_layout(node: torch.fx.Node, source: torch.fx.Node) -> None:
    before, after = source.meta["val"], node.meta["val"]
    if before.stride() != after.stride() or before.dtype != after.dtype:
        raise NotRecognizedError(f"{_name(node)} changes the output's layout")


def _copy(node: torch.fx.Node, source: torch.fx.Node) -> tuple[list[Step], torch.fx.Node]:
    before, after = source.meta["val"], node.meta["val"]
    if before.dtype != after.dtype:
        raise NotRecognizedError(f"it changes the dtype from {before.dtype} to {after.dtype}")
    _same_layout(node, source)
    return [], source


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotRecognizedError(f"{what} takes {type(value).__name__}, not a number")
    return float(value)


def _scaled(values: list[Any], options: dict[str, Any], what: str) -> float:
    """The number that add and sub take, times their `alpha`."""
    alpha = options.get("alpha", values[1] if len(values) > 1 else 1)
    return _number(values[0], what) * _number(alpha, what)


def _add(values: list[Any], options: dict[str, Any]) -> list[Step]:
    return [("add", _scaled(values, options, "add"))]


def _sub(values: list[Any], options: dict[str, Any]) -> list[Step]:
    return [("add", -_scaled(values, options, "sub"))]


def _rsub(values: list[Any], options: dict[str, Any]) -> list[Step]:
    if options.get("alpha", values[1] if len(values) > 1 else 1) != 1:
        raise NotRecognizedError("rsub with a factor")
    return [("neg", None), ("add", _number(values[0], "rsub"))]


def _mul(values: list[Any], _: dict[str, Any]) -> list[Step]:
    return [("mul", _number(values[0], "mul"))]


def _div(values: list[Any], options: dict[str, Any]) -> list[Step]:
    if options.get("rounding_mode") is not None:
        raise NotRecognizedError("div with rounding")
    return [("div", _number(values[0], "div"))]


def _clamp(values: list[Any], options: dict[str, Any]) -> list[Step]:
    """PyTorch clamps from below first: where both bounds cross, the upper one wins."""
    low = options.get("min", values[0] if values else None)
    high = options.get("max", values[1] if len(values) > 1 else None)
    below: list[Step] = [] if low is None else [("maximum", _number(low, "clamp"))]
    above: list[Step] = [] if high is None else [("minimum", _number(high, "clamp"))]
    return [*below, *above]


def _hardtanh(values: list[Any], options: dict[str, Any]) -> list[Step]:
    low = options.get("min_val", values[0] if values else -1)
    high = options.get("max_val", values[1] if len(values) > 1 else 1)
    return _clamp([low, high], {})


def _relu6(*_: Any) -> list[Step]:
    return _clamp([0, 6], {})


def _clamp_max(values: list[Any], options: dict[str, Any]) -> list[Step]:
    return _clamp([None, options.get("max", values[0] if values else None)], {})


def _leaky_relu(values: list[Any], options: dict[str, Any]) -> list[Step]:
    slope = options.get("negative_slope", values[0] if values else 0.01)
    return [("leaky_relu", _number(slope, "leaky_relu"))]


def _elu(values: list[Any], options: dict[str, Any]) -> list[Step]:
    alpha, scale, inner = [*values, 1, 1, 1][:3] if values else (1, 1, 1)
    alpha = options.get("alpha", alpha)
    if options.get("input_scale", inner) != 1:
        raise NotRecognizedError("elu with a scale of its input")
    scale = _number(options.get("scale", scale), "elu")
    return [("elu", _number(alpha, "elu")), ("mul", scale)]


def _selu(*_: Any) -> list[Step]:
    return [("elu", SELU_ALPHA), ("mul", SELU_SCALE)]


def _pow(values: list[Any], _: dict[str, Any]) -> list[Step]:
    if values != [2]:
        raise NotRecognizedError("pow with another exponent than 2")
    return [("square", None)]


def _gelu(values: list[Any], options: dict[str, Any]) -> list[Step]:
    how = options.get("approximate", values[0] if values else "none")
    return [("gelu" if how == "none" else "gelu_tanh", None)]


def _softplus(values: list[Any], options: dict[str, Any]) -> list[Step]:
    beta = options.get("beta", values[0] if values else 1)
    threshold = options.get("threshold", values[1] if len(values) > 1 else 20)
    if (beta, threshold) != (1, 20):
        raise NotRecognizedError("softplus with another beta or threshold than the default")
    return [("softplus", None)]


def _dropout(values: list[Any], options: dict[str, Any]) -> list[Step]:
    probability = options.get("p", values[0] if values else 0.5)
    train = options.get("train", values[1] if len(values) > 1 else True)
    if train and not math.isclose(probability, 0.0, abs_tol=0.0):
        raise NotRecognizedError(RANDOM)
    return []


Reader = Callable[[list[Any], dict[str, Any]], list[Step]]
READERS: dict[Any, Reader] = {
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Scalar: _rsub,
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.div.Tensor_mode: _div,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp_max,
    aten.hardtanh.default: _hardtanh,
    aten.relu6.default: _relu6,
    aten.leaky_relu.default: _leaky_relu,
    aten.elu.default: _elu,
    aten.selu.default: _selu,
    aten.pow.Tensor_Scalar: _pow,
    aten.gelu.default: _gelu,
    aten.softplus.default: _softplus,
    aten.dropout.default: _dropout,
}
COMMUTATIVE = {aten.add.Tensor, aten.mul.Tensor}


def arguments_of(node: torch.fx.Node) -> dict[str, Any]:
    """All arguments of a call by name, defaults included."""
    schema = node.target._schema
    given = dict(zip([a.name for a in schema.arguments], node.args, strict=False))
    named = {a.name: a.default_value for a in schema.arguments if a.name not in given}
    return {**named, **given, **node.kwargs}
