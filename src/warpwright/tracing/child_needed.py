"""Inside a child: which of a model's work every program must do, by the graph of its operators.

A floor is claimed only where it is a lower bound for sure. So an operator's work counts as needed
only if each element of its result is needed by an output, and if its operands have no structure
(a triangle, a mask, zeros, a table that is looked up) that a program could use. Each operator
that is not known here makes what lies behind it doubtful, never needed.

Backwards from the outputs, a value is needed as it is (`VALUE`: each element by itself), only in
sums (`LINEAR`) or as a product's operand (`FACTOR`: in both cases products may be reordered or
merged with what follows), or perhaps not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from warpwright.sandbox.child_tensors import storage_of, tensors_of

NOT, LINEAR, FACTOR, VALUE = 0, 1, 2, 3

VIEWS = frozenset({
    "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "unsqueeze",
    "squeeze", "expand", "alias", "detach", "clone", "contiguous", "_to_copy", "lift_fresh",
    "unflatten", "flatten", "movedim", "swapaxes", "mT", "numpy_T",
})  # fmt: skip
SUMS = frozenset({"add", "sub", "rsub", "neg", "mul", "div", "cat", "stack", "addcmul", "lerp"})
CURVES = frozenset({
    "relu", "gelu", "silu", "sigmoid", "tanh", "exp", "exp2", "log", "log2", "log1p", "expm1",
    "sqrt", "rsqrt", "pow", "abs", "leaky_relu", "elu", "hardtanh", "hardswish", "hardsigmoid",
    "softplus", "mish", "clamp", "clamp_min", "clamp_max", "sin", "cos", "erf", "reciprocal",
    "square", "celu", "selu", "log_sigmoid_forward", "maximum", "minimum", "relu6",
})  # fmt: skip
ALONG_AXES = frozenset({"_softmax", "_log_softmax", "native_layer_norm", "native_group_norm"})
BATCH_NORMS = frozenset({
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update",
})  # fmt: skip
TOTALS = frozenset({
    "sum", "mean", "cumsum", "var", "std", "var_mean", "std_mean", "prod", "linalg_vector_norm",
    "mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
})  # fmt: skip
EXTREMES = frozenset({"amax", "amin", "max", "min", "argmax", "argmin", "logsumexp"})
MAX_POOLS = frozenset({"max_pool2d_with_indices", "max_pool3d_with_indices"})
AVERAGE_POOLS = frozenset({"avg_pool2d", "avg_pool3d"})
ADAPTIVE_POOLS = {
    "_adaptive_avg_pool2d": "total", "_adaptive_avg_pool3d": "total",
    "adaptive_max_pool2d": "extreme", "adaptive_max_pool3d": "extreme",
}  # fmt: skip
RANDOM = frozenset({
    "rand", "randn", "rand_like", "randn_like", "uniform", "normal", "randint", "randint_like",
    "normal_functional", "log_normal", "exponential",
})  # fmt: skip
PLAIN_FACTORIES = frozenset({"empty", "empty_like", "empty_strided", "new_empty"})

STRUCTURE = "operands that may have a structure (a triangle, a mask, zeros) need less"
REORDER = "products that follow one another, or are only summed, can be merged or reordered"
UNUSED = "not all of its results may be needed"
NOT_COUNTED = "not counted, with all that lies behind it: "


@dataclass
class Value:
    """A tensor of the graph. `leaf`: an input or a parameter, or a view of one."""

    tensor: torch.Tensor
    leaf: bool = False
    structured: bool = False
    of_product: bool = False  # a linear function of the result of a product
    demand: int = NOT


@dataclass
class Node:
    """A call: `kind` is one of the groups above, "product" or "unknown"."""

    name: str
    kind: str
    inputs: list[Value]
    outputs: list[Value]
    flops: int = 0
    needed_flops: int = 0
    dtypes: list[str] = field(default_factory=list)


class Graph(TorchDispatchMode):  # type: ignore[misc]
    """Records the calls that are made while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.leaf_storages: set[int] = set()
        self.paused = False
        self._alive: list[torch.Tensor] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would load its compiler, half a second, to keep it out of this class."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.paused:
            self._record(func, args, kwargs or {}, out)
        return out

    def leaf(self, tensor: torch.Tensor, *, structured: bool = False) -> None:
        """Take a tensor as an input or a parameter of what follows."""
        self._alive.append(tensor)
        self.values[id(tensor)] = Value(tensor, leaf=True, structured=structured)
        self.leaf_storages.add(storage_of(tensor))

    def value(self, tensor: torch.Tensor) -> Value:
        """A tensor's value; one from nowhere (a constant) has a structure."""
        known = self.values.get(id(tensor))
        if known is None:
            self._alive.append(tensor)
            known = self.values[id(tensor)] = Value(tensor, structured=tensor.dim() > 0)
            known.leaf = storage_of(tensor) in self.leaf_storages
        return known

    def structured(self, tensor: torch.Tensor) -> bool:
        return self.value(tensor).structured

    def product(
        self, name: str, operands: list[torch.Tensor], out: torch.Tensor, flops: int, needed: int
    ) -> None:
        """Record one product, of which `needed` operations remain where zeros are skipped."""
        self._add(name, "product", operands, [out], flops, needed)

    def _record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        packet = func._overloadpacket
        name = packet.__name__
        plain = name.removesuffix("_") if func._schema.is_mutable else name
        operands, outputs = tensors_of([args, kwargs]), tensors_of(out)
        if packet in flop_registry and not func._schema.is_mutable:
            counted = int(flop_registry[packet](*args, **kwargs, out_val=out))
            share = _inside_share(args, outputs[0]) if name == "convolution" else 1.0
            share = 0.0 if "attention" in name else share  # it may have a mask of its own
            self._add(name, "product", operands, outputs, counted, int(counted * share))
            return
        kind = pool_kind(plain, args) or kind_of(plain)
        if func._schema.is_mutable and plain not in RANDOM:
            kind = "written" if kind == "unknown" or self._shared(outputs) else kind
        self._add(name, kind, operands, outputs, 0, 0)

    def _shared(self, outputs: list[torch.Tensor]) -> bool:
        """Whether what is written in place can be seen through another tensor too."""
        storages = {storage_of(tensor) for tensor in outputs}
        others = [v for key, v in self.values.items() if key not in map(id, outputs)]
        return any(storage_of(v.tensor) in storages for v in others)

    def _add(
        self,
        name: str,
        kind: str,
        operands: list[torch.Tensor],
        outputs: list[torch.Tensor],
        flops: int,
        needed: int,
    ) -> None:
        inputs = [self.value(tensor) for tensor in operands]
        shared = {storage_of(tensor) for tensor in operands}
        if kind == "unknown" and all(storage_of(t) in shared for t in outputs) and len(inputs) == 1:
            kind = "view"  # of a part, or of another shape: whatever it is called
        made = []
        for tensor in outputs:
            self._alive.append(tensor)
            value = Value(tensor, leaf=storage_of(tensor) in self.leaf_storages)
            value.structured = _has_structure(kind, inputs)
            value.of_product = kind == "product" or (
                kind in ("view", "sum", "total") and any(v.of_product for v in inputs)
            )
            self.values[id(tensor)] = value
            made.append(value)
        dtypes = [str(t.dtype).removeprefix("torch.") for t in operands]
        self.nodes.append(Node(name, kind, inputs, made, flops, needed, dtypes))


def kind_of(name: str) -> str:
    """The group of an operator by its name, without the underscore of one in place."""
    groups = {
        "view": VIEWS, "sum": SUMS, "curve": CURVES, "axis": ALONG_AXES, "norm": BATCH_NORMS,
        "total": TOTALS, "extreme": EXTREMES, "random": RANDOM, "plain": PLAIN_FACTORIES,
    }  # fmt: skip
    return next((kind for kind, names in groups.items() if name in names), "unknown")


def pool_kind(name: str, args: tuple[Any, ...]) -> str | None:
    """The group of a pooling operator whose windows reach every element; None for any other call.

    `args` as of aten: input, window, stride, padding, and for a maximum dilation.
    """
    if name in ADAPTIVE_POOLS:
        return ADAPTIVE_POOLS[name]
    if name not in MAX_POOLS | AVERAGE_POOLS:
        return None
    largest = name in MAX_POOLS
    window, stride, padding = args[1], args[2] if len(args) > 2 else (), args[3:4] or ((0,),)
    dilation = args[4] if largest and len(args) > 4 else (1,)
    axes = len(args[1]) if len(args[1]) > 1 else int(name[8])  # max_pool2d…, avg_pool2d
    for axis in range(axes):
        size = int(args[0].shape[axis - axes])
        wide, step, zeros, apart = (
            values[axis] if axis < len(values) else values[-1]
            for values in (window, stride or window, padding[0], dilation)
        )
        if apart != 1 or step > wide or (size + 2 * zeros - wide) % step > zeros:
            return None
    return "extreme" if largest else "total"


def _has_structure(kind: str, inputs: list[Value]) -> bool:
    if kind in ("random", "plain"):
        return False
    if kind in ("product", "axis", "norm"):
        return bool(inputs) and inputs[0].structured
    return kind in ("unknown", "written") or any(value.structured for value in inputs)


def _inside_share(args: tuple[Any, ...], out: torch.Tensor) -> float:
    """Which share of a convolution's multiplications are with elements, not with its padding.

    `args` are those of `aten.convolution`.
    """
    image, weight, _, stride, padding, dilation, transposed = args[:7]
    share = 1.0
    small, large = (image, out) if transposed else (out, image)
    for axis in range(image.dim() - 2):
        taps = int(weight.shape[2 + axis])
        each = [values[axis] if axis < len(values) else values[-1]
                for values in (stride, padding, dilation)]  # fmt: skip
        count, extent = int(small.shape[2 + axis]), int(large.shape[2 + axis])
        inside = 0
        for tap in range(taps):
            first = each[1] - tap * each[2]  # place·stride must lie in first … first + extent − 1
            low = max(0, -(-first // each[0]))
            high = min(count - 1, (first + extent - 1) // each[0])
            inside += max(0, high - low + 1)
        share *= inside / max(1, count * taps)
    return share


def demand(graph: Graph, outputs: list[torch.Tensor]) -> tuple[int, set[str]]:
    """Operations that every program does, and why others may be spared. Sets each `demand`."""
    reasons: set[str] = set()
    for tensor in outputs:
        graph.value(tensor).demand = VALUE
    needed = 0
    unknown: set[str] = set()
    for node in reversed(graph.nodes):
        wanted = max((value.demand for value in node.outputs), default=NOT)
        if wanted and node.inputs and node.kind in ("unknown", "written"):
            unknown.add(node.name)
        if node.kind == "product":
            needed += _needed(node, wanted, reasons)
        for index, value in enumerate(node.inputs):
            value.demand = max(value.demand, _passed(node, index, wanted))
    if unknown:
        reasons.add(NOT_COUNTED + ", ".join(sorted(unknown)))
    return needed, reasons


def _needed(node: Node, wanted: int, reasons: set[str]) -> int:
    structured = any(value.structured for value in node.inputs)
    follows = any(value.of_product for value in node.inputs)
    if structured:
        reasons.add(STRUCTURE)
    elif follows or wanted in (LINEAR, FACTOR):
        reasons.add(REORDER)
    elif wanted == NOT:
        reasons.add(UNUSED)
    return node.needed_flops if wanted == VALUE and not structured and not follows else 0


def _passed(node: Node, index: int, wanted: int) -> int:
    """What is needed of an operand, where `wanted` is needed of the result."""
    value = node.inputs[index]
    mixed = any(other.structured for other in node.inputs if other.tensor.dim())
    if node.kind == "view":
        # less than the whole is no view that passes anything on
        whole = all(out.tensor.numel() >= value.tensor.numel() for out in node.outputs)
        return wanted if whole else NOT
    if node.kind == "product":
        return FACTOR if wanted else NOT
    if node.kind in ("sum", "curve", "extreme"):
        if mixed:
            return NOT
        return VALUE if node.kind != "sum" and wanted else wanted
    if node.kind == "axis":
        return VALUE if index == 0 and wanted >= FACTOR and _wide(value.tensor) else NOT
    if node.kind == "norm":
        return wanted if index == 0 else NOT
    if node.kind == "total":
        return LINEAR if wanted else NOT
    return NOT


def _wide(tensor: torch.Tensor) -> bool:
    """No axis has a single element, over which a softmax or a norm would be a constant."""
    return all(size > 1 for size in tensor.shape)


def read_bytes(graph: Graph) -> int:
    """The least bytes of inputs and parameters that any program reads, each once."""
    regions: dict[int, int] = {}
    consumed = {
        id(value)
        for node in graph.nodes
        for value in node.inputs
        if node.kind != "view"
        or storage_of(value.tensor) not in map(storage_of, (out.tensor for out in node.outputs))
    }
    for value in graph.values.values():
        if value.leaf and value.demand and id(value) in consumed and not value.structured:
            key = storage_of(value.tensor)
            regions[key] = max(regions.get(key, 0), own_bytes(value.tensor))
    return sum(regions.values())


def own_bytes(tensor: torch.Tensor) -> int:
    """Bytes of a tensor's elements, those that `expand` repeats once."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride else 1
    return count * tensor.element_size() if tensor.numel() else 0
