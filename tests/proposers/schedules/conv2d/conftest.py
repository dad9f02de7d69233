"""Gives tests the helpers of `conv2d_layers.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_FILE = Path(__file__).parent / "conv2d_layers.py"


@pytest.fixture(scope="session")
def layers() -> ModuleType:
    """The module `conv2d_layers`: problems of one conv2d, and emitted programs run on them."""
    name = "warpwright_conv2d_layers"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _FILE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
