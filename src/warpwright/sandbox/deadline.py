"""The wall-clock budget of a command, shared by all the jobs that it starts.

This module alone reads the clock for it. What a job's child is told of it (`stop_at`) is no part of
the job's key in the cache: it decides whether a result comes, never which.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from warpwright.types.job import Job, JobOutcome, JobResult
from warpwright.types.verdict import NOT_IN_TIME

DEFAULT_S = 120.0
OPTIMIZE_S = 300.0  # the stage that chooses the algorithm compiles some two dozen programs
# What the main process keeps for the verdict on what its jobs computed.
RESERVE_SHARE = 0.05
MOST_RESERVE_S = 5.0
LEAST_JOB_S = 0.5  # with less left no job is begun: a child needs as much to start
AGAIN = 2.0  # times what a piece of work had in vain is what it gets at least when begun again
WRITE_S = 0.5  # a child stops so long before it is stopped, and so can tell what it has


class Deadline:
    """A moment after which no job begins and none runs on. Starts when it is made.

    `limit_s`: the budget in seconds. `stated_by`: the option by which the user states it.
    """

    def __init__(self, limit_s: float = DEFAULT_S, stated_by: str = "--time-limit") -> None:
        self.limit_s = limit_s
        self.stated_by = stated_by
        reserve_s = min(MOST_RESERVE_S, RESERVE_SHARE * limit_s)
        self._end_s = time.monotonic() + limit_s - reserve_s
        self._ended: dict[str, float] = {}
        self._whole: Deadline | None = None

    @property
    def left_s(self) -> float:
        """Seconds that jobs may still take, 0 at least."""
        return max(0.0, self._end_s - time.monotonic())

    @property
    def left_share(self) -> float:
        """How much of the whole budget that is, from 0 to 1."""
        return self.left_s / self.limit_s

    @property
    def over(self) -> bool:
        """Whether no job can begin any more."""
        return self.left_s < LEAST_JOB_S

    @property
    def stop_at(self) -> float:
        """When a child should stop by itself, on the monotonic clock that all processes share."""
        return self._end_s - WRITE_S

    @property
    def reason(self) -> str:
        """What is told of work that it ended."""
        return (
            f"{NOT_IN_TIME}: the time limit of {self.limit_s:g} s was over (see {self.stated_by})"
        )

    def part(self, share: float) -> Deadline:
        """One that leaves the rest of what is left to others; `share` between 0 and 1."""
        return self._ending(time.monotonic() + share * self.left_s)

    def leaving(self, share: float) -> Deadline:
        """One that ends when so much of the whole budget (0 to 1) is left to others."""
        return self._ending(self._end_s - share * self.limit_s)

    def until(self, left_s: float) -> Deadline:
        """One that ends when so many seconds are left to others."""
        return self._ending(self._end_s - left_s)

    def stage(self, parts: float) -> Deadline:
        """A budget of its own: one of so many parts of what is left.

        What pauses it pauses the whole; what it leaves is for the other parts.
        """
        piece = Deadline(round(self.left_s / parts, 1))
        piece._ended, piece._whole = self._ended, self
        return piece

    def _ending(self, end_s: float) -> Deadline:
        """One of the same budget, which knows the same of work that was ended."""
        piece = Deadline(self.limit_s, self.stated_by)
        piece._end_s, piece._ended = end_s, self._ended
        return piece

    def remember_ended(self, work: str, spent_s: float) -> None:
        """That the time was over for a piece of work (by its key) after so many seconds."""
        self._ended[work] = max(spent_s, self._ended.get(work, 0.0))

    def would_end(self, work: str) -> bool:
        """Whether it is not worth while to begin a piece of work again that was ended: so it is
        with less than twice the time that it had."""
        return work in self._ended and self.left_s < AGAIN * self._ended[work]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time spent in this block does not count: a budget of its own bounds it."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._move_on(time.monotonic() - began_s)

    def _move_on(self, by_s: float) -> None:
        self._end_s += by_s
        if self._whole is not None:
            self._whole._move_on(by_s)


def run_in_time(job: Job, deadline: Deadline | None) -> JobResult:
    """`run_job` within what is left of the deadline; the child is told when to stop by itself."""
    from warpwright.sandbox.run import run_job  # psutil and more, for commands that run a job

    if deadline is None:
        return run_job(job)
    if deadline.over:
        return JobResult(JobOutcome.TIMEOUT, reason=deadline.reason)
    left_s = deadline.left_s
    cut = left_s < job.limits.deadline_s
    limits = replace(job.limits, deadline_s=min(left_s, job.limits.deadline_s))
    payload = {**job.payload, "stop_at": deadline.stop_at}
    result = run_job(replace(job, limits=limits, payload=payload))
    if cut and result.outcome is JobOutcome.TIMEOUT:
        return replace(result, reason=deadline.reason)
    return result
