"""Shapes of a problem's inputs, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input tensor: sizes, and a dtype by torch's name without the prefix."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        suffix = "" if self.dtype == "float32" else f":{self.dtype}"
        return "x".join(map(str, self.shape)) + suffix


@dataclass(frozen=True, slots=True)
class Problem:
    """What is known of the problem that a program solves.

    Either `source` holds a KernelBench problem file (`Model`, `get_inputs`,
    `get_init_inputs`), or `inputs`/`init_args`/`init_kwargs` come from the command line;
    then there is no reference, and a candidate can only be compared with its parent. So it is
    for a source with `get_inputs` alone (`has_model` is False). `others`: the same with other
    inputs that it is called with, too.
    """

    source: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    init_args: tuple[Any, ...] = ()
    init_kwargs: dict[str, Any] = field(default_factory=dict)
    origin: str = "command line"
    has_model: bool = True
    others: tuple[Problem, ...] = ()

    @property
    def has_reference(self) -> bool:
        return self.source is not None and self.has_model
