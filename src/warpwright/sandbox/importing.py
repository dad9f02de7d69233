"""Can a program be imported at all? Asked before anything is made of it without shapes."""

from __future__ import annotations

from warpwright.sandbox.cache import ResultCache, run_cached
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.run import Job
from warpwright.types.sandbox import JobLimits, JobResult

LIMITS = JobLimits(deadline_s=30.0)


def import_program(
    source: str, cache: ResultCache | None = None, deadline: Deadline | None = None
) -> JobResult:
    """The outcome of importing the program in a child; `reason` says what went wrong."""
    return run_cached(Job("import", {"source": source}, LIMITS), cache, deadline=deadline)
