"""Inside a worker: whether a program changed the libraries that it shares with us.

A picture of the functions and classes is taken before the first program is loaded, and compared
after each request. A program that patches a timer, torch or Triton is found out; one that undoes
its patch in time is not, which is why outputs and clocks are checked elsewhere too.
"""

from __future__ import annotations

import builtins
import importlib
import time
from collections.abc import Iterator
from typing import Any

WATCHED_MODULES = (
    "torch", "torch.cuda", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.random",
    "torch.cuda.random", "triton", "triton.language", "triton.language.core",
    "triton.language.standard", "triton.testing", "triton.runtime", "numpy", "numpy.random",
    "random",
)  # fmt: skip
WATCHED_CLASSES = (
    ("torch", "Tensor"),
    ("torch.cuda", "Event"),
    ("torch.cuda", "Stream"),
    ("torch.nn", "Module"),
    ("triton.runtime.autotuner", "Autotuner"),
    ("triton.runtime.jit", "JITFunction"),
    ("triton.compiler.compiler", "CompiledKernel"),
    ("triton.runtime.interpreter", "GridExecutor"),
)


class Picture:
    """What the libraries hold at one moment."""

    def __init__(self) -> None:
        # Settings and caches change honestly; functions, classes and methods do not.
        self._before = {key: value for key, value in _contents() if _is_code(value)}

    def changed(self) -> list[str]:
        """Names of functions and classes that are not what they were, sorted."""
        now = dict(_contents())
        return sorted(
            f"{place}.{name}"
            for (place, name), value in self._before.items()
            if now.get((place, name)) is not value
        )


def _is_code(value: Any) -> bool:
    return callable(value) or isinstance(value, (property, staticmethod, classmethod))


def _contents() -> Iterator[tuple[tuple[str, str], Any]]:
    for module in (time, builtins):
        for name, value in list(vars(module).items()):
            yield (module.__name__, name), value
    for place in WATCHED_MODULES:
        for name, value in list(vars(importlib.import_module(place)).items()):
            yield (place, name), value
    for place, name in WATCHED_CLASSES:
        holder = getattr(importlib.import_module(place), name)
        for attribute, value in list(vars(holder).items()):
            yield (f"{place}.{name}", attribute), value
