"""Child: is the problem's model one conv2d, and which one?

The model is built and its graph taken by `torch.export`, on torch's meta device: no memory is
needed whatever the sizes. Nothing of the problem's values is looked at.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from warpwright.sandbox import child_guard
from warpwright.sandbox.child_recognize_graph import (
    NotRecognizedError,
    Step,
    arguments_of,
    chain_of,
    nothing_besides,
)
from warpwright.sandbox.child_trace_problem import LoadedProblem, ProblemError, load_problem
from warpwright.sandbox.child_trace_torch import StandIns, hardware, stand_in_cuda

DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
CONV2D = {torch.conv2d, torch.nn.functional.conv2d}
IDLE = {("mul", 1.0), ("div", 1.0), ("maximum", -math.inf), ("minimum", math.inf)}
IS_CUDA = torch.Tensor.is_cuda.__get__

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


@dataclass
class _Seen:
    """What the forward pass did that its graph does not show."""

    autocast: bool = False
    strict: list[bool] = field(default_factory=list)  # of each convolution: TF32 was off


def _look(model: Any, image: torch.Tensor, job_dir: Path) -> dict[str, Any]:
    """The task for these inputs, as plain values. Raises `NotRecognizedError`."""
    exported, seen = _export(model, image, job_dir)
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
        "strict": layer["dtype"] == "float32" and (seen.strict or [_strict_now()])[-1],
        "epilogue": [list(step) for step in _without_idle(steps)],
    }


def _without_idle(steps: list[Step]) -> list[Step]:
    """Without what changes no value. (Adding zero does: it turns -0 into 0.)"""
    return [step for step in steps if step not in IDLE]


def _export(model: Any, image: torch.Tensor, job_dir: Path) -> tuple[Any, _Seen]:
    seen = _Seen()
    try:
        with child_guard.foreign_code(), torch.no_grad(), _cuda_told(job_dir):
            with _Observer(seen, job_dir), _watch_autocast(seen):
                model(image)  # export switches cuDNN off, so its flags are looked at here
            with _Observer(_Seen(), job_dir), _one_precision():
                exported = torch.export.export(model, (image,), strict=False)
                return exported.run_decompositions({}), seen
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        reason = f"its forward pass cannot be followed: {type(error).__name__}: {first}"
        raise NotRecognizedError(reason[:400]) from error


class _Observer(TorchFunctionMode):  # type: ignore[misc]
    """Notes the precision in force at each convolution; says "CUDA" to the problem's own code."""

    def __init__(self, seen: _Seen, job_dir: Path) -> None:
        super().__init__()
        self._seen = seen
        self._file = f"{job_dir}/problem.py"

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func == IS_CUDA and self._asked_by_the_problem():
            return True
        if func in CONV2D:
            self._seen.strict.append(_strict_now())
        return func(*args, **(kwargs or {}))

    def _asked_by_the_problem(self) -> bool:
        """Whether the code that asks, past other modes such as export's own, is the problem's."""
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_code.co_name == "__torch_function__":
            frame = frame.f_back
        return frame.f_code.co_filename == self._file


def _strict_now() -> bool:
    """Whether an fp32 convolution may not use TF32, by the flags in force."""
    try:
        allowed = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the flags were set by the newer interface, operator by operator
        allowed = torch.backends.cudnn.conv.fp32_precision == "tf32"
    return not (allowed and torch.backends.cudnn.enabled)


@contextmanager
def _cuda_told(job_dir: Path) -> Iterator[None]:
    """The problem's own code is told that there is CUDA; torch, which asks too, is not."""
    before = torch.cuda.is_available

    def answer() -> bool:
        return sys._getframe(1).f_code.co_filename == f"{job_dir}/problem.py" or before()

    torch.cuda.is_available = answer
    try:
        yield
    finally:
        torch.cuda.is_available = before


@contextmanager
def _one_precision() -> Iterator[None]:
    """Export asks for the one old flag, which torch refuses where operators have their own."""
    operators = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [operator.fp32_precision for operator in operators]
    try:
        for precision in ("tf32", "ieee"):
            if _flags_agree():
                break
            for operator in operators:
                operator.fp32_precision = precision
        yield
    finally:
        for operator, precision in zip(operators, before, strict=True):
            operator.fp32_precision = precision


def _flags_agree() -> bool:
    try:
        return isinstance(torch.backends.cudnn.allow_tf32, bool)
    except RuntimeError:
        return False


@contextmanager
def _watch_autocast(seen: _Seen) -> Iterator[None]:
    """Autocast for CUDA switches itself off where there is none, so its use is noted here."""
    enter = torch.autocast.__enter__

    def noted(context: Any) -> Any:
        seen.autocast = True  # (`enabled=False` looks the same by now as "no CUDA")
        return enter(context)

    torch.autocast.__enter__ = noted
    try:
        yield
    finally:
        torch.autocast.__enter__ = enter


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
