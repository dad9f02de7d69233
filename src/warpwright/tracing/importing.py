"""Can a program be imported at all? Asked before anything is made of it without shapes."""

from __future__ import annotations

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits, JobResult

LIMITS = JobLimits(deadline_s=30.0)


def import_program(
    source: str,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> JobResult:
    """The outcome of importing the program in a child; `reason` says what went wrong.

    `gpu` answers a program that asks for its card when it is imported.
    """
    payload = {"source": source, "facts": device_facts(gpu)}
    return run_cached(Job("import", payload, LIMITS), cache, deadline=deadline)
