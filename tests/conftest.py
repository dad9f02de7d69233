"""What every test may ask for, and which tests a machine cannot run.

Nothing here imports torch: collecting the tests of the text commands must work where it is absent.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import Worker
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import Done

CASES_VARIABLE = "WARPWRIGHT_CASES"


@functools.cache
def missing_compiler() -> str | None:
    """Why tests marked `triton` cannot run here, or None."""
    missing = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else None


@functools.cache
def missing_gpu() -> str | None:
    """Why tests marked `gpu` cannot run here, or None. Asks the driver, not torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the CUDA driver does not start"
    return None if count.value else "no CUDA GPU"


@functools.cache
def missing_cases() -> str | None:
    """Why tests marked `cases` cannot run here, or None."""
    named = os.environ.get(CASES_VARIABLE)
    if not named:
        return f"{CASES_VARIABLE} is not set"
    return None if Path(named).is_dir() else f"{CASES_VARIABLE} names no directory"


REASONS = {"triton": missing_compiler, "gpu": missing_gpu, "cases": missing_cases}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for something that this machine lacks."""
    for marker, reason_of in REASONS.items():
        if item.get_closest_marker(marker) is not None and (reason := reason_of()):
            pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def results_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of children's results for all tests and all of xdist's processes, first empty.

    What a test's child found under the same key, of the same program and the same code of ours,
    another test need not find again. Tests of what is kept, and of what a child does, make a
    cache of their own, or none. The user's own cache is neither read nor written.
    """
    base = tmp_path_factory.getbasetemp()
    # xdist's processes have folders of their own, side by side
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARPWRIGHT_CACHE_DIR", str(shared / "results"))
        patch.setenv("WARPWRIGHT_STATE_DIR", str(base / "journal"))
        yield


@pytest.fixture(scope="session")
def cases_dir() -> Path:
    """The directory of recorded requests: `cases/recorded.jsonl.gz` and `seeds/*.txt`."""
    if reason := missing_cases():
        pytest.skip(reason)
    return Path(os.environ[CASES_VARIABLE]).resolve()


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """`support/laboratory.py`: programs, stages, evidence, and the verifier's answer on them."""
    return importlib.import_module("laboratory")


@pytest.fixture(scope="session")
def workshop() -> ModuleType:
    """`support/workshop.py`: a problem, and programs for workers to run."""
    return importlib.import_module("workshop")


@pytest.fixture(scope="module")
def judge(workshop: ModuleType) -> Iterator[ReferenceProcess]:
    """A judge on the CPU that has loaded the workshop's problem."""
    with ReferenceProcess("cpu") as judge:
        loaded = judge.load(Problem(source=workshop.PROBLEM), seed=workshop.SEED)
        assert isinstance(loaded, Done), loaded
        yield judge


@pytest.fixture
def worker(workshop: ModuleType) -> Iterator[Worker]:
    """A worker of the test's own, which it may kill."""
    with workshop.small_worker() as worker:
        yield worker
