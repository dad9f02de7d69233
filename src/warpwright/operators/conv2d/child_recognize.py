"""Child: is the problem's model one conv2d, and which one?

The model is built and its graph taken by `torch.export`, on torch's meta device: no memory is
needed whatever the sizes. Nothing of the problem's values is looked at.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from warpwright.operators.child_export import export, strict_now
from warpwright.operators.child_graph import (
    NotRecognizedError,
    Step,
    arguments_of,
    chain_of,
    nothing_besides,
)
from warpwright.sandbox import child_guard
from warpwright.tracing.child_trace_problem import LoadedProblem, ProblemError, load_problem
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda

DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
IDLE = {("mul", 1.0), ("div", 1.0), ("maximum", -math.inf), ("minimum", math.inf)}

Layer = dict[str, Any]


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `problem` and `facts` as for a trace. `{"task": …}` or `{"reason": …}`."""
    warnings.simplefilter("ignore")
    with stand_in_cuda(StandIns("meta", job_dir), hardware(payload["facts"])):
        problem = load_problem(payload["problem"], job_dir)
        model, inputs = _build(problem)
    try:
        image = _only_image(inputs)
        return {"task": _recognize(model, image, job_dir)}
    except NotRecognizedError as error:
        return {"reason": str(error)}


def _build(problem: LoadedProblem) -> tuple[Any, list[Any]]:
    model_class = getattr(problem.module, "Model", None)
    if model_class is None:
        raise ProblemError("the problem file has no class Model")
    with child_guard.foreign_code(), torch.no_grad():
        model = model_class(*problem.init_args, **problem.init_kwargs)
    return model, problem.make_inputs()


def _only_image(inputs: list[Any]) -> torch.Tensor:
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        raise NotRecognizedError(f"forward takes {len(inputs)} arguments, not one tensor")
    image = inputs[0]
    if image.dim() != 4:
        raise NotRecognizedError(f"its input has {image.dim()} dimensions, not 4")
    if image.dtype not in DTYPES:
        raise NotRecognizedError(f"its input is {image.dtype}")
    if image.numel() == 0:
        raise NotRecognizedError("its input is empty")
    return image


def _recognize(model: Any, image: torch.Tensor, job_dir: Path) -> dict[str, Any]:
    if not isinstance(model, torch.nn.Module):
        raise NotRecognizedError("Model is no torch.nn.Module")
    found = _look(model, image, job_dir)
    # A program is for any batch: what forward does must not hang on its size.
    more = torch.empty_strided(
        (image.shape[0] + 1, *image.shape[1:]), image.stride(), dtype=image.dtype, device="meta"
    )
    other = _look(model, more, job_dir)
    if (other["module"], other["epilogue"]) != (found["module"], found["epilogue"]):
        raise NotRecognizedError("forward does something else for another batch size")
    return found


def _look(model: Any, image: torch.Tensor, job_dir: Path) -> dict[str, Any]:
    """The task for these inputs, as plain values. Raises `NotRecognizedError`."""
    exported, seen = export(model, image, job_dir)
    if seen.autocast:
        raise NotRecognizedError("it runs under autocast")
    signature = exported.graph_signature
    if signature.user_inputs_to_mutate:
        raise NotRecognizedError("forward changes its input")
    if len(signature.user_outputs) != 1 or not isinstance(signature.user_outputs[0], str):
        raise NotRecognizedError("its output is not one tensor")
    if exported.call_spec.out_spec.type is not None:
        raise NotRecognizedError(f"its output is in a {exported.call_spec.out_spec.type.__name__}")
    output = signature.user_outputs[0]
    node, steps = chain_of(exported.graph, output)
    module = _module_of(model, node, signature)
    nothing_besides(exported.graph, output)
    if signature.buffers_to_mutate:
        raise NotRecognizedError("forward changes a buffer")
    layer = _layer(node, image)
    return {
        "layer": layer,
        "module": module,
        "strict": layer["dtype"] == "float32" and (seen.strict or [strict_now()])[-1],
        "epilogue": [list(step) for step in _without_idle(steps)],
    }


def _without_idle(steps: list[Step]) -> list[Step]:
    """Without what changes no value. (Adding zero does: it turns -0 into 0.)"""
    return [step for step in steps if step not in IDLE]


def _module_of(model: Any, node: torch.fx.Node, signature: Any) -> str:
    """The path of the module (an nn.Conv2d mostly) that holds the weight and bias of the call.

    Nothing else may have a state, for a program must have the same parameters.
    """
    given = arguments_of(node)
    names = {**signature.inputs_to_parameters}
    if given["input"].name not in signature.user_inputs:
        raise NotRecognizedError(f"the convolution takes {given['input'].target}, not the input")
    weight = names.get(given["weight"].name)
    if weight is None:
        raise NotRecognizedError("the convolution's weight is computed, not a parameter")
    path, _, _ = weight.rpartition(".")
    wanted = [weight]
    if given["bias"] is not None:
        wanted.append(names.get(given["bias"].name, "a computed bias"))
    prefix = f"{path}." if path else ""
    if wanted != [f"{prefix}{name}" for name in ("weight", "bias")[: len(wanted)]]:
        raise NotRecognizedError(f"parameters of other names than weight and bias: {wanted}")
    extra = sorted(set(model.state_dict()) - set(wanted))
    if extra:
        raise NotRecognizedError(f"it has parameters or buffers besides: {', '.join(extra)}")
    return str(path)


def _layer(node: torch.fx.Node, image: torch.Tensor) -> Layer:
    """The sizes of the call, whatever its module says."""
    given = arguments_of(node)
    weight = given["weight"].meta["val"]
    _same_dtype(image, weight)
    kernel = tuple(map(int, weight.shape[2:]))
    stride, dilation = _pair(given["stride"]), _pair(given["dilation"])
    before, after = _padding(given["padding"], kernel, dilation)
    channels_last = _channels_last(image)
    if _channels_last(weight) and not channels_last:
        raise NotRecognizedError("the weight is channels_last and the input is not")
    batch, in_channels, height, width = map(int, image.shape)
    return {
        "batch": batch,
        "in_channels": in_channels,
        "height": height,
        "width": width,
        "out_channels": int(weight.shape[0]),
        "kernel": kernel,
        "stride": stride,
        "padding_before": before,
        "padding_after": after,
        "dilation": dilation,
        "groups": int(given["groups"]),
        "bias": given["bias"] is not None,
        "dtype": DTYPES[image.dtype],
        "channels_last": channels_last,
    }


def _same_dtype(image: torch.Tensor, weight: torch.Tensor) -> None:
    if image.dtype != weight.dtype:
        raise NotRecognizedError(f"the input is {image.dtype}, the weight {weight.dtype}")


def _channels_last(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in this layout and not in the usual one. Neither is told."""
    if tensor.is_contiguous():
        return False
    if tensor.is_contiguous(memory_format=torch.channels_last):
        return True
    raise NotRecognizedError(f"a tensor of strides {tuple(tensor.stride())} has neither layout")


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def _padding(
    padding: Any, kernel: tuple[int, ...], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros before and after; 'same' puts the odd one after, as `torch.nn.Conv2d` does."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    pair = _pair(padding)
    return pair, pair
