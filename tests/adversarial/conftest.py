"""Gives tests the small programs and helpers of `laboratory.py`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.sandbox.judge import Judge
from warpwright.sandbox.worker import Worker
from warpwright.types.shapes import Problem
from warpwright.types.worker import Done

_FILE = Path(__file__).parent.parent / "gate" / "laboratory.py"
_WORKSHOP = Path(__file__).parent.parent / "sandbox" / "workshop.py"


@pytest.fixture(scope="session")
def workshop() -> ModuleType:
    """The module `workshop`: a problem and programs for workers to run."""
    return _loaded("warpwright_workshop", _WORKSHOP)


@pytest.fixture(scope="module")
def judge(workshop: ModuleType) -> Iterator[Judge]:
    with Judge("cpu") as judge:
        loaded = judge.load(Problem(source=workshop.PROBLEM), seed=workshop.SEED)
        assert isinstance(loaded, Done), loaded
        yield judge


@pytest.fixture
def worker(workshop: ModuleType) -> Iterator[Worker]:
    with workshop.small_worker() as worker:
        yield worker


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """The module `laboratory`: programs, stages, evidence, and the gate's answer on them."""
    return _loaded("warpwright_gate_laboratory", _FILE)


def _loaded(name: str, file: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
