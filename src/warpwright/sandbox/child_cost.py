"""Inside a child: count the work of a problem's `Model` at full size, on meta tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from warpwright.sandbox import child_guard, child_program
from warpwright.sandbox.child_device import WithoutCuda
from warpwright.sandbox.child_trace_problem import constructor_arguments


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """FLOPs by operator, bytes of inputs, parameters and outputs, dtypes of the operators."""
    problem = child_program.load_module(payload["problem"], "problem", job_dir)
    init = getattr(problem, "get_init_inputs", list)
    with child_guard.foreign_code(), WithoutCuda(), torch.device("meta"), torch.no_grad():
        args, kwargs = constructor_arguments(init())
        model = problem.Model(*args, **kwargs)
        inputs = [_to_meta(value) for value in problem.get_inputs()]
        with FlopCounterMode(display=False) as counter:
            output = model(*inputs)
    by_operator = {str(op): int(n) for op, n in counter.get_flop_counts()["Global"].items()}
    parameters = [*model.parameters(), *model.buffers()]
    return {
        "flops": by_operator,
        "read_bytes": _bytes(inputs) + _bytes(parameters),
        "written_bytes": _bytes(_tensors(output)),
        "dtypes": sorted({str(t.dtype).removeprefix("torch.") for t in _tensors(inputs)}),
    }


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _bytes(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in _tensors(list(tensors)))
