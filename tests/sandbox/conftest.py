"""Gives tests the programs of `workshop.py`, a worker and a judge that several tests share."""

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

_FILE = Path(__file__).parent / "workshop.py"


@pytest.fixture(scope="session")
def workshop() -> ModuleType:
    """The module `workshop`."""
    name = "warpwright_workshop"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _FILE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="module")
def judge(workshop: ModuleType) -> Iterator[Judge]:
    with Judge("cpu") as judge:
        loaded = judge.load(Problem(source=workshop.PROBLEM), seed=workshop.SEED)
        assert isinstance(loaded, Done), loaded
        yield judge


@pytest.fixture
def worker(workshop: ModuleType) -> Iterator[Worker]:
    """A worker of the test's own, which it may kill."""
    with workshop.small_worker() as worker:
        yield worker
