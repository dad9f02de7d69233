"""What a program's host code launches, found without a GPU.

The program's `ModelNew` is built and called once in a child process, on stand-in tensors that
claim to be on a GPU; every kernel launch is recorded instead of run. See `docs/tracing.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.toolchain import missing_module
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace_decode import MalformedTraceError, decode_trace
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits, JobOutcome, JobResult
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec

# What a trace lacks; the program may run all the same where it has a GPU and data.
LIMITS_OF_A_TRACE = frozenset({
    "ArgumentError", "DataDependentError", "LaunchError", "NotImplementedError", "ProblemError",
    "TooLargeError", "UnknownHardwareError",
})  # fmt: skip
FORBIDDEN = "the code tried to"  # as the child's guard words it
NO_GPU_HERE = (
    "'meta'", "meta tensor", "not compiled with CUDA", "NVIDIA driver", "No CUDA", "No device",
    "no device", "No GPU", "no GPU",
)  # fmt: skip
TRACE_LIMITS = JobLimits(deadline_s=60.0)
IMPORT_LIMITS = JobLimits(deadline_s=30.0)
# Errors of the child's own, whose message is a sentence.
OWN_ERRORS = frozenset({
    "ArgumentError", "DataDependentError", "LaunchError", "ProblemError", "UnknownHardwareError",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceFailed:
    """Why there is no trace. `reason` is one sentence for a person.

    `stage`: "problem", "import", "constructor", "forward", or "process" where the child
    ended without a result. `line` is the program's line, or the problem file's if `stage`
    is "problem". `kind` is the exception's type. `of_a_tool`: what stands in for the GPU here
    may have raised it, not the program.
    """

    outcome: JobOutcome
    reason: str
    line: int | None = None
    detail: str = ""
    stage: str = "process"
    kind: str = ""
    of_a_tool: bool = False

    @property
    def missing_module(self) -> str | None:
        """The module that the program or the problem needs and this machine lacks."""
        return missing_module(self.reason)

    @property
    def is_of_the_program(self) -> bool:
        """Whether the program fails by itself, on a GPU too.

        False where the problem, this machine or what a trace can follow is to blame: a time
        limit, memory, values of data, an operator that has no stand-in.
        """
        if self.stage == "process":
            return self.outcome is JobOutcome.EXITED or self.reason.startswith(FORBIDDEN)
        if self.of_a_tool or self.stage == "problem" or self.kind in LIMITS_OF_A_TRACE:
            return False
        if self.missing_module is not None:
            return False
        return not any(words in self.reason for words in NO_GPU_HERE)


def trace_program(
    source: str,
    problem: Problem,
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    limits: JobLimits = TRACE_LIMITS,
    deadline: Deadline | None = None,
) -> Trace | TraceFailed:
    """Every launch of one forward pass of `source` on the problem's inputs.

    `gpu` answers host code that asks for the number of SMs and the like; without it such
    code fails with that reason. Never raises for what the program does.
    """
    payload = {
        "source": source,
        "problem": problem_payload(problem),
        "facts": device_facts(gpu),
    }
    return read_result(run_cached(Job("trace", payload, limits), cache, deadline=deadline))


def read_result(result: JobResult) -> Trace | TraceFailed:
    """The trace in a job's result."""
    if not result.ok or result.value is None:
        reason = result.reason or "the trace ended without a result"
        return TraceFailed(result.outcome, reason, detail=result.detail)
    failed = result.value.get("failed")
    if isinstance(failed, dict):
        return _failed(failed)
    try:
        return decode_trace(result.value.get("trace"))
    except MalformedTraceError as error:
        return TraceFailed(JobOutcome.FAILED, f"the trace is malformed: {error}")


def _failed(failed: Mapping[str, Any]) -> TraceFailed:
    message = str(failed.get("message", "")).strip()
    first = (message.splitlines() or [""])[0]
    kind = str(failed.get("type", ""))
    line = failed.get("line")
    return TraceFailed(
        JobOutcome.FAILED,
        reason=first if kind in OWN_ERRORS else f"{kind}: {first}",
        line=line if isinstance(line, int) else None,
        detail=str(failed.get("detail", "")),
        stage=str(failed.get("stage", "forward")),
        kind=kind,
        of_a_tool=failed.get("of_a_tool") is True,
    )


def problem_payload(problem: Problem) -> dict[str, Any]:
    """A problem as JSON, for a child. Tuples stay tuples (lists are another thing)."""
    return {
        "source": problem.source,
        "inputs": [encode(item) for item in problem.inputs],
        "init_args": [encode(item) for item in problem.init_args],
        "init_kwargs": {name: encode(value) for name, value in problem.init_kwargs.items()},
    }


def encode(value: Any) -> Any:
    """A Python value as JSON that `child_trace_problem.decode` turns back."""
    if isinstance(value, TensorSpec):
        return {"tensor": list(value.shape), "dtype": value.dtype}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {str(name): encode(item) for name, item in value.items()}}
    return value


def target_facts(
    compute_capability: tuple[int, int], facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What is known of a card of this compute capability, with `facts` about it if any."""
    major, minor = compute_capability
    return {**device_facts(None), "major": major, "minor": minor, **(facts or {})}


def device_facts(gpu: GpuSheet | None) -> dict[str, Any]:
    """What `torch.cuda.get_device_properties` answers, under its names."""
    if gpu is None:
        # every GPU that Triton runs on has these
        return {"warp_size": 32}
    major, minor = gpu.compute_capability
    return {
        "name": gpu.name,
        "major": major,
        "minor": minor,
        "multi_processor_count": gpu.sm_count,
        "warp_size": gpu.limits.warp_size,
        "max_threads_per_multi_processor": gpu.limits.threads_per_sm,
        "max_threads_per_block": gpu.limits.max_threads_per_block,
        "regs_per_multiprocessor": gpu.limits.registers_per_sm,
        "shared_memory_per_block": 48 * 1024,
        "shared_memory_per_block_optin": gpu.limits.max_shared_bytes_per_block,
        "shared_memory_per_multiprocessor": gpu.limits.shared_bytes_per_sm,
        **({"L2_cache_size": gpu.l2_bytes} if gpu.l2_bytes is not None else {}),
    }


def import_program(
    source: str,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> JobResult:
    """The outcome of importing the program in a child; `reason` says what went wrong.

    Asked before anything is made of a program without shapes. `gpu` answers a program that asks
    for its card when it is imported.
    """
    payload = {"source": source, "facts": device_facts(gpu)}
    return run_cached(Job("import", payload, IMPORT_LIMITS), cache, deadline=deadline)
