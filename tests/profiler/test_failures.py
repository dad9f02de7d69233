"""Why there is no profile: each cause has its own error, which says what to do."""

from __future__ import annotations

import pytest

from warpwright.errors import InputError, MissingToolError, Place, SandboxError, WarpwrightError
from warpwright.profiler.failures import raise_for_failure
from warpwright.profiler.ncu import NcuRun
from warpwright.profiler.ncu_output import parse_ncu_output
from warpwright.types.job import JobOutcome, JobResult

RAN = JobResult(JobOutcome.OK, value={"gpu": {"name": "a GPU"}})
NONE_LAUNCHED = "==WARNING== No kernels were profiled.\n"
ENDED = JobResult(JobOutcome.EXITED, reason="the process ended early, with exit code 1")


def error_of(job: JobResult, log: str = "") -> WarpwrightError:
    with pytest.raises(WarpwrightError) as caught:
        raise_for_failure(NcuRun(job, log), parse_ncu_output(log, []), Place("kernel.py"), 60.0)
    return caught.value


def test_without_permission_the_driver_option_is_named() -> None:
    log = "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission …\n" + NONE_LAUNCHED
    error = error_of(RAN, log)
    assert isinstance(error, MissingToolError)
    assert "NVreg_RestrictProfilingToAdminUsers=0" in error.hint


def test_the_machine_is_blamed_before_the_program() -> None:
    failed = JobResult(JobOutcome.FAILED, reason="program.py:9: RuntimeError: CUDA error")
    assert "ERR_NVGPUCTRPERM" in str(error_of(failed, "==ERROR== ERR_NVGPUCTRPERM\n"))


def test_ncu_may_speak_through_what_the_child_printed() -> None:
    told = "==ERROR== Nsight Compute failed to connect to the CUDA driver (stub?).\n"
    error = error_of(JobResult(JobOutcome.EXITED, reason="ended", detail=told), NONE_LAUNCHED)
    assert isinstance(error, MissingToolError)
    assert "finds no GPU" in error.what


def test_counters_in_use_are_no_fault_of_the_program() -> None:
    error = error_of(RAN, "==ERROR== Profiling failed because a driver resource was unavailable.")
    assert isinstance(error, MissingToolError)
    assert "dcgmi" in error.hint


def test_a_torch_without_a_gpu_is_told() -> None:
    error = error_of(JobResult(JobOutcome.OK, value={"gpu": None, "torch": "2.9", "cuda": None}))
    assert isinstance(error, MissingToolError)
    assert "torch 2.9 sees no GPU" in error.what


def test_a_failing_program_is_told_with_its_line() -> None:
    failed = JobResult(JobOutcome.FAILED, reason="program.py:9: ValueError: no", detail="trace\nx")
    error = error_of(failed, NONE_LAUNCHED)
    assert isinstance(error, InputError)
    assert "program.py:9: ValueError" in error.what


def test_a_run_that_took_too_long_names_the_option() -> None:
    error = error_of(JobResult(JobOutcome.TIMEOUT))
    assert isinstance(error, InputError)
    assert error.hint is not None
    assert "--timeout" in error.hint


def test_a_forward_pass_that_launches_nothing_is_told() -> None:
    error = error_of(RAN, NONE_LAUNCHED)
    assert isinstance(error, InputError)
    assert "launched no kernel" in error.what


def test_an_unknown_metric_is_the_users_to_mend() -> None:
    error = error_of(ENDED, "==ERROR== Failed to find metric sm__nope.avg\n")
    assert isinstance(error, InputError)
    assert "sm__nope.avg" in error.what


@pytest.mark.parametrize("job", [RAN, ENDED])
def test_an_ncu_that_breaks_is_neither_the_programs_nor_the_users_fault(job: JobResult) -> None:
    error = error_of(job, "==ERROR== Failed to create profiling session.\n")
    assert isinstance(error, SandboxError)
    assert "Failed to create profiling session." in str(error)


def test_garbage_is_no_profile() -> None:
    assert isinstance(error_of(RAN, "\x00\x01 not a table"), InputError)
