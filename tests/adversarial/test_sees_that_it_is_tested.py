"""Trick: the program looks whether its kernel is interpreted, and is right only then."""

from __future__ import annotations

import functools

import accuracy_trial as trial
import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.study import Study
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.spot_check import check_full_size

pytestmark = pytest.mark.triton

SIZES = "    ROWS, DEPTH = left.shape\n"


@functools.cache
def parent() -> Study:
    return study_program(
        Subject(trial.PRODUCT),
        api.target_gpu("RTX 4090"),
        RunContext(ResultCache()),
        problem=trial.PRODUCT_PROBLEM,
    )


def checked(child: str) -> CheckResult | str | None:
    study = parent()
    cache = ResultCache()
    trace = trace_program(child, trial.PRODUCT_PROBLEM, gpu=study.gpu.sheet, cache=cache)
    assert isinstance(trace, Trace), trace
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    return check_full_size(study, read_program(child), kernels, RunContext(cache), trace)


def test_half_of_the_depth_for_compiled_kernels_is_refused() -> None:
    """The interpreter runs the whole depth, so that every output there is right."""
    cheat = trial.changed(
        trial.PRODUCT,
        (SIZES, SIZES + "    if not hasattr(product_kernel, 'rewrite'):\n"
         "        DEPTH = DEPTH // 2\n"),
    )  # fmt: skip
    found = checked(cheat)
    assert isinstance(found, CheckResult) and found.status is Status.FAIL
    (violation,) = found.violations
    assert "under test" in violation.found and "DEPTH=" in violation.found


def test_numbers_worked_out_in_another_way_are_the_same_launch() -> None:
    honest = trial.changed(
        trial.PRODUCT, (SIZES, "    ROWS = left.shape[0]\n    DEPTH = left.numel() // ROWS\n")
    )
    found = checked(honest)
    assert not isinstance(found, CheckResult) or found.status is not Status.FAIL
