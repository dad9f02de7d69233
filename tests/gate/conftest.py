"""Gives tests the small programs and helpers of `laboratory.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_FILE = Path(__file__).parent / "laboratory.py"


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """The module `laboratory`: programs, stages, evidence, and the gate's answer on them."""
    name = "warpwright_gate_laboratory"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _FILE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
