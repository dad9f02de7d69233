"""Inside a child: the inputs and constructor arguments of a problem, from its payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from warpwright.sandbox import child_guard
from warpwright.sandbox.child_program import load_module


class ProblemError(Exception):
    """The problem does not give what a run needs."""


@dataclass
class LoadedProblem:
    """A problem, ready to make inputs from. `module` is None without a problem file."""

    payload: Mapping[str, Any]
    module: ModuleType | None = None
    init_args: list[Any] = field(default_factory=list)
    init_kwargs: dict[str, Any] = field(default_factory=dict)

    def make_inputs(self) -> list[Any]:
        """Fresh inputs, on whatever device is the default."""
        if self.module is None:
            return [decode(item) for item in self.payload["inputs"]]
        with child_guard.foreign_code():
            inputs = self.module.get_inputs()
        if not isinstance(inputs, (list, tuple)):
            raise ProblemError(f"get_inputs returns {type(inputs).__name__}, expected a list")
        return list(inputs)


def load_problem(payload: Mapping[str, Any], job_dir: Path) -> LoadedProblem:
    """Execute the problem file, if there is one, and read the constructor arguments."""
    if payload["source"] is None:
        args = [decode(item) for item in payload["init_args"]]
        kwargs = {name: decode(value) for name, value in payload["init_kwargs"].items()}
        return LoadedProblem(payload, None, args, kwargs)
    module = load_module(payload["source"], "problem", job_dir)
    if not hasattr(module, "get_inputs"):
        raise ProblemError("the problem file has no get_inputs")
    if not hasattr(module, "get_init_inputs"):
        return LoadedProblem(payload, module)
    with child_guard.foreign_code():
        args, kwargs = constructor_arguments(module.get_init_inputs())
    return LoadedProblem(payload, module, args, kwargs)


def constructor_arguments(made: Any) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from what `get_init_inputs` returns.

    A list holds positional ones, a dict keyword ones, a list of a list and a dict both.
    """
    if isinstance(made, dict):
        return [], dict(made)
    if len(made) == 2 and isinstance(made[0], list) and isinstance(made[1], dict):
        return list(made[0]), dict(made[1])
    return list(made), {}


def decode(item: Any) -> Any:
    """A value as `problem.encode` wrote it; tensors come out uninitialised."""
    if isinstance(item, list):
        return [decode(entry) for entry in item]
    if not isinstance(item, dict):
        return item
    if "tuple" in item:
        return tuple(decode(entry) for entry in item["tuple"])
    if "dict" in item:
        return {name: decode(value) for name, value in item["dict"].items()}
    return torch.empty(item["tensor"], dtype=getattr(torch, item["dtype"]))
