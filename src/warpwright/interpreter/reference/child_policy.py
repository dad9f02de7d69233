"""Inside the reference child: what eager PyTorch computes by default on a GPU, on a CPU.

The precision policy (`docs/precision.md`): float32 convolutions round both operands to TF32, to
nearest; float32 matrix products stay float32; half-precision products accumulate in float32 and
round once. Everything else is the CPU's own kernel in the tensor's dtype.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from warpwright.interpreter.reference import child_tf32

aten = torch.ops.aten
CONVOLUTIONS = {aten.convolution.default, aten._convolution.default}
# Matrix products, and which two arguments are multiplied.
PRODUCTS = {
    aten.mm.default: (0, 1),
    aten.bmm.default: (0, 1),
    aten.dot.default: (0, 1),
    aten.mv.default: (0, 1),
    aten.addmm.default: (1, 2),
    aten.addmv.default: (1, 2),
    aten.baddbmm.default: (1, 2),
}
ALONG_AN_AXIS = {"_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax"}
# Elements are picked, nothing is added up.
PICKS = {"embedding", "index", "gather", "index_select", "masked_select", "take"}
HALVES = (torch.float16, torch.bfloat16)


def round_to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """A float32 tensor rounded to TF32, to nearest, ties away from zero."""
    return torch.from_numpy(child_tf32.round_nearest(tensor.detach().contiguous().numpy()))


class EagerGpuPolicy(TorchDispatchMode):  # type: ignore[misc]
    """Runs operators as the policy says, and adds up how long their sums are.

    `summands` is the sum over all operators of the number of terms that go into one output
    element; float32 rounding of sums grows with its square root.
    """

    def __init__(self, emulate: bool = True) -> None:
        super().__init__()
        self.emulate = emulate
        self.summands = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would load its compiler, half a second, to keep it out of this class."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self.emulate:
            result = _as_on_a_gpu(func, args, kwargs or {})
        else:
            result = func(*args, **(kwargs or {}))
        self.summands += _summands(func, args, result)
        return result


def _as_on_a_gpu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func in CONVOLUTIONS:
        x, weight = args[0], args[1]
        if x.dtype == torch.float32 and weight.dtype == torch.float32:
            return func(round_to_tf32(x), round_to_tf32(weight), *args[2:], **kwargs)
        return _in_float32(func, args, kwargs, x.dtype)
    if func in PRODUCTS:
        return _in_float32(func, args, kwargs, args[PRODUCTS[func][0]].dtype)
    return func(*args, **kwargs)


def _in_float32(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: torch.dtype
) -> Any:
    if dtype not in HALVES:
        return func(*args, **kwargs)
    wide = [arg.float() if isinstance(arg, torch.Tensor) else arg for arg in args]
    return func(*wide, **kwargs).to(dtype)


def _summands(func: Any, args: tuple[Any, ...], result: Any) -> int:
    """How many terms one element of the result sums up; 0 for element-wise operators."""
    if func in CONVOLUTIONS:
        weight, transposed, groups = args[1], bool(args[6]), int(args[8])
        channels = weight.shape[0] // groups if transposed else weight.shape[1]
        return int(channels * math.prod(weight.shape[2:]))
    if func in PRODUCTS:
        return int(args[PRODUCTS[func][0]].shape[-1])
    name = func.overloadpacket.__name__
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if "dot_product" in name and len(tensors) >= 3:
        return int(tensors[0].shape[-1] + tensors[1].shape[-2])
    if not tensors:
        return 0
    if name in ALONG_AN_AXIS and tensors[0].dim():
        return int(tensors[0].shape[args[1]])
    outputs = result if isinstance(result, (tuple, list)) else [result]
    sizes = [out.numel() for out in outputs if isinstance(out, torch.Tensor) and out.numel()]
    if func.is_view or name in PICKS or not sizes:
        return 0
    ratio = tensors[0].numel() // min(sizes)
    return ratio if ratio > 1 else 0
