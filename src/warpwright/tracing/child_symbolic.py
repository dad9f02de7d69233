"""Inside a child: what a program launches when the shapes of its inputs are unknown.

The model is built with its defaults and called on stand-ins of many made-up shapes. What is the
same in every call that runs does not depend on the inputs.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from warpwright.sandbox import child_guard
from warpwright.sandbox.child_program import load_module
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_launch import Recorder
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda

# In each call the free dimensions a to e take one of these rows. Values differ within a row,
# and rows in magnitude, because programs choose tiles and ways by size. Some rows are for
# programs that check divisibility, some for networks that insist on usual images.
FREE_SIZES = (
    (37, 41, 43, 47, 53),
    (1031, 2053, 257, 131, 67),
    (67, 263, 1033, 4099, 131),
    (4096, 512, 1024, 256, 128),
    (65536, 8192, 2048, 4096, 512),
    (131, 65539, 521, 269, 37),
    (10, 5, 224, 224, 224),
    (3, 6, 224, 224, 224),
    (6, 16, 32, 32, 32),
    (2, 48, 32, 32, 32),
)
MAX_CALLS = 6  # of one family
MAX_WIDTHS = 4
MAX_FAMILIES = 60

Template = tuple[int | str, ...]
"""Sizes of one input: an int is fixed, a string names a free dimension."""


@dataclass(frozen=True)
class Family:
    """Shapes of all inputs, and the width that was taken from a parameter, if any."""

    templates: tuple[Template, ...]
    width: int | None = None

    def shapes(self, free: Sequence[int], width: int | None = None) -> list[list[int]]:
        """Concrete shapes; `width` replaces the one taken from a parameter."""
        values: dict[int | str, int] = dict(zip("abcde", free, strict=True))
        if width is not None and self.width is not None:
            values[self.width] = width
        return [[values.get(d, d if isinstance(d, int) else 0) for d in t] for t in self.templates]

    def __str__(self) -> str:
        return ", ".join("x".join(map(str, template)) for template in self.templates)


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """`{"calls": …}`, or `{"unknown_arguments": …}` where the model cannot be built."""
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    mode = StandIns("meta", job_dir)
    recorder = Recorder(mode)
    recorder.install()
    deadline = time.monotonic() + payload["search_s"]
    with stand_in_cuda(mode, facts):
        program = load_module(payload["source"], "program", job_dir)
        required = required_arguments(program)
        if required is None:
            return {"failed": "the program has no class ModelNew"}
        if required:
            return {"unknown_arguments": required}
        return _explore(program, recorder, deadline)


def required_arguments(program: ModuleType) -> list[str] | None:
    """Constructor arguments that have no default."""
    model_class = getattr(program, "ModelNew", None)
    if model_class is None:
        return None
    return _required(inspect.signature(model_class))


def _required(signature: inspect.Signature) -> list[str]:
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]


def _explore(program: ModuleType, recorder: Recorder, deadline: float) -> dict[str, Any]:
    try:
        with child_guard.foreign_code(), torch.no_grad():
            model = program.ModelNew()
    except MemoryError:
        raise
    except Exception as error:
        return {"failed": f"ModelNew() raises {type(error).__name__}: {_first_line(error)}"}
    inputs = len(_required(inspect.signature(getattr(model, "forward", model.__call__))))
    calls: list[dict[str, Any]] = []
    first_error = ""
    fitting: int | None = None  # the first width that runs: a likely one comes first
    for family in families(inputs, widths_of(model)):
        if time.monotonic() > deadline:
            break
        found, said = _calls_of(family, model, recorder)
        calls += found
        first_error = first_error or said or ""
        if found and fitting is None:
            fitting = family.width
    if not calls:
        return {"failed": f"no made-up input runs; the likeliest: {first_error}"}
    for call in calls:
        call["fits"] = fitting is None or call["width"] == fitting
    return {"calls": calls}


def _calls_of(
    family: Family, model: Any, recorder: Recorder
) -> tuple[list[dict[str, Any]], str | None]:
    """Calls of a family that run; none unless two free choices do."""
    calls: list[dict[str, Any]] = []
    error: str | None = None
    for free in FREE_SIZES:
        shapes = family.shapes(free)
        launches, failed = _call(model, shapes, recorder)
        error = error or failed
        if launches:
            calls.append(_described(family, shapes, launches, family.width))
        if len(calls) >= MAX_CALLS:
            break
    if len(calls) < 2:
        return [], error
    if family.width is not None:
        other = family.width + 16
        for free in FREE_SIZES[1], FREE_SIZES[6]:
            shapes = family.shapes(free, other)
            launches, _ = _call(model, shapes, recorder)
            if launches:
                calls.append(_described(family, shapes, launches, other))
    return calls, error


def _described(
    family: Family, shapes: list[list[int]], launches: list[dict[str, Any]], width: int | None
) -> dict[str, Any]:
    return {"family": str(family), "shapes": shapes, "width": width, "launches": launches}


def _call(
    model: Any, shapes: list[list[int]], recorder: Recorder
) -> tuple[list[dict[str, Any]], str | None]:
    recorder.launches.clear()
    try:
        with child_guard.foreign_code(), torch.no_grad():
            model(*[torch.empty(shape) for shape in shapes])
    except MemoryError:
        raise
    except Exception as error:
        return [], f"{type(error).__name__}: {_first_line(error)}"
    return list(recorder.launches), None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def widths_of(model: Any) -> list[int]:
    """Input widths that the first parameters suggest: channels of a convolution, features."""
    found: list[int] = []
    if isinstance(model, torch.nn.Module):
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if len(shape) >= 2:
                transposed = "transpose" in name.lower()
                found += [shape[0], shape[1]] if transposed else [shape[1], shape[0]]
            elif shape:
                found.append(shape[0])
    return list(dict.fromkeys(width for width in found if width > 1))[:MAX_WIDTHS]


def families(inputs: int, widths: Sequence[int]) -> Iterator[Family]:
    """Shapes to try, likelier ones first."""
    made = _one_input(widths) if inputs == 1 else _several_inputs(inputs, widths)
    for number, family in enumerate(made):
        if number >= MAX_FAMILIES:
            return
        yield family


def _one_input(widths: Sequence[int]) -> Iterator[Family]:
    for width in widths:
        yield Family((("a", width, "c", "d"),), width)
        yield Family((("a", width, "c", "d", "e"),), width)
        yield Family((("a", width, "c"),), width)
        yield Family((("a", width),), width)
        yield Family((("a", "b", width),), width)
    for rank in (4, 2, 3, 5, 1):
        yield Family((tuple("abcde"[:rank]),))


# Two inputs that share dimensions, as the operands of a matrix product do.
PRODUCTS = ("ab bc", "ba bc", "ab cb", "ba cb", "a ab", "ab b", "dab dbc", "dab bc", "ab b1")


def _several_inputs(inputs: int, widths: Sequence[int]) -> Iterator[Family]:
    if inputs == 2:
        for product in PRODUCTS:
            yield Family(
                tuple(tuple(1 if d == "1" else d for d in names) for names in product.split())
            )
    for width in widths:
        yield Family((("a", width),) * inputs, width)
        yield Family((("a", width, "c", "d"),) * inputs, width)
    for rank in (2, 4, 3, 1):
        yield Family((tuple("abcd"[:rank]),) * inputs)
