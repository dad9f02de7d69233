"""Why there is no profile: what ncu and the child said, as the error that tells what to do."""

from __future__ import annotations

from warpwright.doctor.machine import COUNTERS_FIX
from warpwright.errors import InputError, MissingToolError, Place, SandboxError
from warpwright.profiler.ncu import NcuRun
from warpwright.profiler.ncu_output import Trouble, find_trouble
from warpwright.types.job import JobOutcome
from warpwright.types.profiling import NcuOutput

NEED_GPU = "profile on a machine with an NVIDIA GPU and its driver; `warpwright doctor` tells more"


def raise_for_machine(message: str) -> None:
    """Raises MissingToolError where a message of ncu blames the machine."""
    found = find_trouble([message])
    if found is None:
        return
    trouble, told = found
    if trouble is Trouble.PERMISSION:
        what = "this process may not read the GPU's performance counters (ERR_NVGPUCTRPERM)"
        raise MissingToolError(what, hint=COUNTERS_FIX)
    if trouble is Trouble.BUSY:
        raise MissingToolError(
            f"the GPU's performance counters are in use: {told}",
            hint="end the other profiler, or pause DCGM's monitoring (dcgmi profile --pause)",
        )
    if trouble is Trouble.UNSUPPORTED:
        hint = "this ncu or this driver does not profile this GPU: update both, or use another"
        raise MissingToolError(f"Nsight Compute cannot profile this GPU: {told}", hint=hint)
    if trouble is Trouble.NO_DRIVER:
        raise MissingToolError(f"Nsight Compute finds no GPU: {told}", hint=NEED_GPU)


def raise_for_failure(run: NcuRun, output: NcuOutput, place: Place, deadline_s: float) -> None:
    """Raises the error that says why there is no profile; returns where there is one.

    What the machine lacks comes first: a program that fails because of it is not at fault.
    """
    said = [*output.errors, *_messages(run.job.detail)]
    for message in said:
        raise_for_machine(message)
    found = find_trouble([*said, *output.warnings])
    if found is not None and found[0] is Trouble.UNKNOWN_METRIC:
        hint = "`ncu --query-metrics` lists the names"
        raise InputError(found[1], place=Place("metrics"), hint=hint)
    job = run.job
    if job.outcome is JobOutcome.TIMEOUT:
        raise InputError(
            f"not profiled after {deadline_s:g} s",
            place=place,
            hint="ncu runs each kernel once for each pass of metrics: give --timeout more seconds, "
            "or ask for fewer metrics",
        )
    if not job.ok or job.value is None:
        _raise_for_program(run, output, place)
    elif job.value.get("gpu") is None:
        raise MissingToolError(
            f"torch {job.value.get('torch')} sees no GPU (built for CUDA {job.value.get('cuda')})",
            hint="install torch's CUDA build; `warpwright doctor` tells what this machine has",
        )
    if output.launches:
        return
    if found is None and output.errors:
        raise SandboxError("Nsight Compute failed: " + "; ".join(output.errors[:3]))
    raise InputError(
        "the profiled forward pass launched no kernel",
        place=place,
        expected="a launch in each forward pass",
        hint="a program that keeps its first result, or replays a graph, has nothing to profile",
    )


def _messages(text: str) -> list[str]:
    """ncu's own errors within what a child printed."""
    mark = "==ERROR=="
    return [line.removeprefix(mark).strip() for line in text.splitlines() if line.startswith(mark)]


def _raise_for_program(run: NcuRun, output: NcuOutput, place: Place) -> None:
    job = run.job
    told = [
        e for e in (*output.errors, *_messages(job.detail)) if "returned an error code" not in e
    ]
    if job.outcome is JobOutcome.EXITED and told:  # ncu ended before the program began
        raise SandboxError("Nsight Compute failed: " + "; ".join(told[:3]))
    raise InputError(
        f"the program does not run on this GPU: {job.reason or job.outcome}",
        place=place,
        got=last[-1] if (last := job.detail.strip().splitlines()) else None,
        hint="run it without the profiler first; --problem must be the problem that it solves",
    )
