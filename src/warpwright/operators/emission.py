"""Complete programs in the strict format: imports, kernels, the launch function, ModelNew."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.operators.kernel_library import Library
from warpwright.operators.point import Point
from warpwright.operators.pointwise_operations import statements
from warpwright.operators.problem_model import model_new
from warpwright.types.conv2d import Conv2dTask, Pointwise

_IMPORTS = (
    "import torch",
    "import torch.nn as nn",
    "import triton",
    "import triton.language as tl",
)
# Where a kernel file says `acc = pointwise(acc)`, the operations after the convolution go.
_MARK = re.compile(r"^(?P<indent> *)(?P<name>\w+) = pointwise\((?P=name)\)\n", re.MULTILINE)
_MARK_FUNCTION = "pointwise"


@dataclass(frozen=True, slots=True)
class EmissionPlan:
    """What a program is made of, besides the problem's model.

    `launcher` is the host function of the kernel files that forward calls with the input, the
    weight, the bias (or None) and `arguments`; `tuned` is the kernel that the points are for, `key`
    those of its arguments whose change asks for new tuning, `reset` those that a launch changes and
    must find zero: the tuner launches many times.
    """

    comment: str
    launcher: str
    tuned: str
    points: tuple[Point, ...]
    key: tuple[str, ...]
    arguments: tuple[tuple[str, object], ...]
    reset: tuple[str, ...] = ()


def write_program(task: Conv2dTask, plan: EmissionPlan, library: Library) -> str:
    """The program as text. Raises `InputError` where the problem has no class Model."""
    functions = [f for f in library.needed([plan.launcher]) if f.name != _MARK_FUNCTION]
    texts = [_with_epilogue(f.text, task.epilogue) for f in functions]
    tuned = [
        f"{_autotune(plan)}\n{text}" if f.name == plan.tuned else text
        for f, text in zip(functions, texts, strict=True)
    ]
    imports, model = model_new(task.problem_source, task.module, _call(task, plan))
    head = "\n".join(f"# {line}".rstrip() for line in _wrapped(plan.comment))
    top = "\n".join(dict.fromkeys([*_IMPORTS, *imports]))
    return "\n\n\n".join([f"{head}\n{top}", *tuned, model])


def _wrapped(comment: str) -> list[str]:
    return [line for part in comment.splitlines() for line in textwrap.wrap(part, 96) or [""]]


def _with_epilogue(text: str, operations: Sequence[Pointwise]) -> str:
    def written(mark: re.Match[str]) -> str:
        lines = statements(operations, mark["name"])
        return "".join(f"{mark['indent']}{line}\n" for line in lines)

    return _MARK.sub(written, text)


def _autotune(plan: EmissionPlan) -> str:
    configs = "".join(f"        {point.config_text()},\n" for point in plan.points)
    reset = f"    reset_to_zero=[{_quoted(plan.reset)}],\n" if plan.reset else ""
    key = f"    key=[{_quoted(plan.key)}],\n"
    return f"@triton.autotune(\n    configs=[\n{configs}    ],\n{key}{reset})"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _call(task: Conv2dTask, plan: EmissionPlan) -> str:
    bias = "{bias}" if task.layer.bias else "None"
    rest = "".join(f", {name}={value!r}" for name, value in plan.arguments)
    return f"{plan.launcher}({{x}}, {{weight}}, {bias}{rest})"
