"""The cache of job results: same job, same key; damaged or failed results are not kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import warpwright
from warpwright.sandbox import run as run_module
from warpwright.sandbox.kinds import JOBS, MAIN, PERSISTENT, PROCESSES
from warpwright.store import cache as cache_module
from warpwright.store.cache import ResultCache, content_key, default_cache_dir, run_cached
from warpwright.types.job import Job, JobLimits, JobOutcome, JobResult

SOURCE = Path(warpwright.__file__).parent.parent


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs that were really run; each answers with its payload and leaves a file."""
    jobs: list[Job] = []

    def answer(job: Job) -> JobResult:
        jobs.append(job)
        if job.payload.get("fail"):
            return JobResult(JobOutcome.TIMEOUT, reason="slow")
        if job.keep_output is not None:
            job.keep_output.mkdir(parents=True, exist_ok=True)
            (job.keep_output / "data").write_text("found")
        return JobResult(JobOutcome.OK, value={"answer": job.payload["question"]})

    monkeypatch.setattr(run_module, "run_job", answer)
    return jobs


def test_a_job_that_was_done_is_not_done_again(tmp_path: Path, counted: list[Job]) -> None:
    cache = ResultCache(tmp_path / "cache")
    first = run_cached(Job("trace", {"question": 1}, keep_output=tmp_path / "a"), cache)
    second = run_cached(Job("trace", {"question": 1}, keep_output=tmp_path / "b"), cache)
    assert len(counted) == 1
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.value == second.value == {"answer": 1}
    assert (tmp_path / "b" / "data").read_text() == "found"


def test_without_a_cache_every_job_runs(counted: list[Job]) -> None:
    run_cached(Job("trace", {"question": 1}), None)
    run_cached(Job("trace", {"question": 1}), None)
    assert len(counted) == 2


def test_a_failure_is_tried_again(tmp_path: Path, counted: list[Job]) -> None:
    cache = ResultCache(tmp_path)
    for _ in range(2):
        assert run_cached(Job("trace", {"fail": True}), cache).outcome is JobOutcome.TIMEOUT
    assert len(counted) == 2


def test_limits_do_not_change_what_a_job_finds(tmp_path: Path, counted: list[Job]) -> None:
    cache = ResultCache(tmp_path)
    run_cached(Job("trace", {"question": 1}, JobLimits(deadline_s=1)), cache)
    run_cached(Job("trace", {"question": 1}, JobLimits(deadline_s=2)), cache)
    assert len(counted) == 1


def test_payload_kind_environment_and_files_all_make_the_key(
    tmp_path: Path, counted: list[Job]
) -> None:
    data = tmp_path / "data"
    data.write_text("one")
    cache = ResultCache(tmp_path / "cache")
    jobs = [
        Job("trace", {"question": 1}),
        Job("trace", {"question": 2}),
        Job("interpret", {"question": 1}),
        Job("trace", {"question": 1}, environment={"MODE": "x"}),
        Job("trace", {"question": 1}, files={"data": data}),
    ]
    for job in jobs:
        run_cached(job, cache)
    data.write_text("two")
    run_cached(jobs[-1], cache)
    assert len(counted) == 6


def test_another_toolchain_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_key("trace", {}, {})
    monkeypatch.setattr(cache_module, "toolchain_versions", lambda: {"triton": "0.0"})
    assert content_key("trace", {}, {}) != before


def test_a_changed_child_module_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_key("trace", {}, {})
    monkeypatch.setattr(cache_module, "children_digest", lambda kind: f"changed {kind}")
    assert content_key("trace", {}, {}) != before


def test_a_key_depends_on_what_its_child_imports_and_on_nothing_else() -> None:
    names = {path.name for path in cache_module.own_modules(JOBS["trace"], MAIN)}
    assert {"child_trace.py", "child_main.py", "child_guard.py"} <= names
    assert "child_trace_launch.py" in names  # imported by a name from a module
    assert names.isdisjoint({"run.py", "cache.py", "child_reference.py"})


@pytest.mark.parametrize("module", [*JOBS.values(), *PROCESSES.values(), MAIN, PERSISTENT])
def test_every_kind_of_child_depends_on_its_own_module_and_the_guard(module: str) -> None:
    names = {found.name for found in cache_module.own_modules(module, MAIN)}
    assert {f"{module.split('.')[-1]}.py", "child_main.py", "child_guard.py"} <= names


def test_every_kind_of_child_is_asked_for_by_its_name() -> None:
    """Each kind's module has what its entry point calls, and each job that is made names a kind."""
    for module, function in [
        *((module, "perform") for module in JOBS.values()),
        *((module, "start") for module in PROCESSES.values()),
    ]:
        path = Path(SOURCE, *module.split(".")).with_suffix(".py")
        assert f"def {function}(" in path.read_text(), module
    made = {
        kind
        for path in SOURCE.rglob("*.py")
        for kind in re.findall(r"\bJob\(\s*(?:kind=)?\"(\w+)\"", path.read_text())
    }
    assert {"trace", "compile", "interpret"} <= made <= set(JOBS)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_entry_counts_as_none(tmp_path: Path, counted: list[Job], damage: bytes) -> None:
    cache = ResultCache(tmp_path)
    job = Job("trace", {"question": 1})
    run_cached(job, cache)
    (entry,) = tmp_path.rglob("value.json")
    entry.write_bytes(damage)
    assert run_cached(job, cache).value == {"answer": 1}
    assert len(counted) == 2


def test_a_damaged_entry_is_replaced(tmp_path: Path, counted: list[Job]) -> None:
    cache = ResultCache(tmp_path)
    job = Job("trace", {"question": 1})
    run_cached(job, cache)
    (entry,) = tmp_path.rglob("value.json")
    entry.write_bytes(b"{")
    run_cached(job, cache)
    assert run_cached(job, cache).from_cache


def test_two_processes_that_store_the_same_entry_do_not_disturb_each_other(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.store("ab12", {"n": 1})
    cache.store("ab12", {"n": 1})
    assert cache.load("ab12") == {"n": 1}
    assert [path.name for path in (tmp_path / "jobs" / "ab").iterdir()] == ["ab12"]


def test_the_cache_stands_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARPWRIGHT_CACHE_DIR", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.delenv("WARPWRIGHT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_cache_dir() == Path("/cache/warpwright")
