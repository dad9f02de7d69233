"""Inside a child: which ways a program took at its branches, in host code and kernels."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from warpwright.program.branch_sites import CHOICE, TEST, observed
from warpwright.sandbox import child_guard

Key = tuple[int, str, str]


class Coverage:
    """The outcomes seen so far: sites as `branch_sites.Outcome` has them."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, str, str, bool]] = set()

    def test(self, key: Key, value: Any) -> Any:
        """Notes which way a test goes; the test's own value goes on to Python."""
        way = bool(value)
        self.seen.add((*key, way))
        return value

    def choice(self, key: Key, function: Callable[..., Any], first: Any, second: Any) -> Any:
        """Notes which argument a `min` or `max` chooses, and calls it."""
        smaller = _smaller(first, second)
        if smaller is not None:
            for way in smaller if key[1] == "min" else [not is_smaller for is_smaller in smaller]:
                self.seen.add((*key, way))
        return function(first, second)

    def names(self) -> dict[str, Any]:
        """What stands behind the calls that `observed` puts into a program."""
        return {TEST: self.test, CHOICE: self.choice}


def _numbers(value: Any) -> Any:
    """A number or an interpreted tensor as numpy has it; None for anything else."""
    handle = getattr(value, "handle", None)
    data = getattr(handle, "data", getattr(value, "value", value))
    if isinstance(data, (bool, int, float, np.generic, np.ndarray)):
        return np.asarray(data)
    return None


def _smaller(first: Any, second: Any) -> list[bool] | None:
    """Whether the first is smaller, for some lane, and whether it is larger; None: not known.

    Where both are equal nothing is chosen.
    """
    left, right = _numbers(first), _numbers(second)
    if left is None or right is None:
        return None
    ways = []
    if bool(np.any(left < right)):
        ways.append(True)
    if bool(np.any(left > right)):
        ways.append(False)
    return ways


def load_observed(source: str, name: str, job_dir: Path, coverage: Coverage) -> ModuleType:
    """As `child_program.load_module`, with the program's own branches observed.

    The file holds the source as it is: Triton reads kernels there.
    """
    path = job_dir / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    module.__dict__.update(coverage.names())
    tree = ast.parse(source)
    code = compile(observed(tree), str(path), "exec", dont_inherit=True)
    with child_guard.foreign_code():
        exec(code, module.__dict__)
    return module
