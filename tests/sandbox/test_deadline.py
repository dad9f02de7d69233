"""A budget that all jobs of a command share."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from warpwright.sandbox.deadline import Deadline, run_in_time
from warpwright.sandbox.run import Job
from warpwright.store.cache import ResultCache, run_cached
from warpwright.types.job import JobLimits, JobOutcome
from warpwright.types.verdict import NOT_IN_TIME

SLEEPING = "import time\ntime.sleep(60)"


def importing(source: str) -> Job:
    return Job("import", {"source": source, "facts": {}}, JobLimits(deadline_s=50.0))


def test_a_part_leaves_the_rest_and_a_pause_costs_nothing() -> None:
    deadline = Deadline(100.0)
    assert 94 < deadline.left_s <= 95  # five seconds are the verdict's
    assert 37 < deadline.part(0.4).left_s <= 38
    before = deadline.left_s
    with deadline.paused():
        time.sleep(0.2)
    assert before - deadline.left_s < 0.1


def test_work_that_leaves_a_share_ends_when_that_is_left() -> None:
    deadline = Deadline(100.0)
    assert 74 < deadline.leaving(0.2).left_s <= 75
    assert 0 < deadline.part(0.4).leaving(0.2).left_s <= 18
    assert deadline.leaving(1.0).over


def test_a_stage_has_its_own_budget_and_what_it_leaves_is_for_the_others() -> None:
    whole = Deadline(100.0)
    stage = whole.stage(4)
    assert 23.5 < stage.limit_s <= 23.8
    assert stage.left_share > 0.9
    before = whole.left_s
    with stage.paused():
        time.sleep(0.2)
    assert before - whole.left_s < 0.1
    assert whole.stage(2).limit_s > 47


def test_work_that_was_ended_is_begun_again_with_twice_the_time_alone() -> None:
    deadline = Deadline(100.0)
    deadline.part(0.5).remember_ended("a kernel", 20.0)
    assert not deadline.would_end("a kernel")
    assert not deadline.would_end("another")
    assert deadline.part(0.4).would_end("a kernel")
    deadline.remember_ended("a kernel", 5.0)
    assert deadline.part(0.4).would_end("a kernel")


def test_no_job_begins_once_it_is_over() -> None:
    deadline = Deadline(0.1)
    assert deadline.over
    began = time.monotonic()
    result = run_in_time(importing(SLEEPING), deadline)
    assert result.outcome is JobOutcome.TIMEOUT
    assert (result.reason or "").startswith(NOT_IN_TIME)
    assert time.monotonic() - began < 0.1


def test_a_job_that_runs_on_is_stopped_and_the_deadline_is_named(tmp_path: Path) -> None:
    deadline = Deadline(3.0)
    began = time.monotonic()
    result = run_cached(importing(SLEEPING), ResultCache(tmp_path), deadline=deadline)
    assert time.monotonic() - began < 8
    assert result.outcome is JobOutcome.TIMEOUT
    assert "--time-limit" in (result.reason or "")


def test_a_job_that_breaks_its_own_limit_is_no_matter_of_the_deadline() -> None:
    job = Job("import", {"source": SLEEPING, "facts": {}}, JobLimits(deadline_s=2.0))
    result = run_in_time(job, Deadline(100.0))
    assert result.outcome is JobOutcome.TIMEOUT
    assert NOT_IN_TIME not in (result.reason or "")


def test_what_is_known_already_needs_no_time(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    assert run_cached(importing("x = 1"), cache, deadline=Deadline(60.0)).ok
    again = run_cached(importing("x = 1"), cache, deadline=Deadline(0.1))
    assert again.ok
    assert again.from_cache


@pytest.mark.parametrize("limit_s", [1.0, 20.0, 1000.0])
def test_some_of_the_time_is_kept_for_the_verdict(limit_s: float) -> None:
    assert 0.9 * limit_s < Deadline(limit_s).left_s < limit_s
