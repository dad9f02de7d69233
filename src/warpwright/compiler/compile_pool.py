"""Children that share one list of configs, and what becomes of those that take one down."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpwright.sandbox.deadline import Deadline, run_in_time
from warpwright.types.job import Job, JobLimits, JobOutcome, JobResult

POLL_S = 0.05
CHILD_BYTES = 1024**3  # what a child usually needs at most; bounds how many run at a time
START_S = 60.0  # for torch and Triton to load, before any deadline of the program's
TOOL_ERROR = "ToolError"  # `child_blame`'s word for a failure that may be our own
LOG_BYTES = 64 * 1024
# Line information stays on, as it is for users: it can change the code that comes out.
ENVIRONMENT = {"TRITON_DUMP_PTXAS_LOG": "1"}


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Budgets: seconds for each config and for the program's import, bytes for each child.

    A config that takes more than `processor_s` of processor time does so on any machine, so
    that this result is kept; one that only takes long by the clock may have had to wait.
    """

    deadline_s: float = 90.0
    processor_s: float = 45.0
    import_deadline_s: float = 60.0
    memory_bytes: int = 4 * 1024**3


class CompilePool:
    """Runs children over `items` until each has a result."""

    def __init__(
        self,
        payload: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]],
        limits: PoolLimits,
        deadline: Deadline | None = None,
    ) -> None:
        self._payload = payload
        self._items = {int(item["id"]): item for item in items}
        self._limits = limits
        self._deadline = deadline
        self._lock = threading.Lock()
        self._children = 0
        self._culprits: dict[int, tuple[Mapping[str, Any], bool]] = {}
        self._stopped: JobResult | None = None
        self.ended_after_s: dict[int, float] = {}  # items that a child was ended in, by id

    def run(self, workers: int | None) -> Iterator[tuple[int, Mapping[str, Any], bool]]:
        """Yield (id, result, whether to keep it) for each item, as they come."""
        if not self._items:
            return
        exchange = Path(tempfile.mkdtemp(prefix="warpwright-compile-")).resolve()
        count = min(workers or usable_workers(), len(self._items))
        given: set[int] = set()
        try:
            with ThreadPoolExecutor(count) as threads:
                pending = {threads.submit(self._work, exchange) for _ in range(count)}
                while pending:
                    _, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    yield from self._fresh(exchange, given)
            yield from self._fresh(exchange, given)
            for item in self._items.keys() - given:
                yield item, self._never_begun(), False
        finally:
            shutil.rmtree(exchange, ignore_errors=True)

    def _fresh(
        self, exchange: Path, given: set[int]
    ) -> Iterator[tuple[int, Mapping[str, Any], bool]]:
        for item in sorted(self._items.keys() - given):
            value = read_result(exchange / f"result-{item}.json")
            if value is not None:
                given.add(item)
                yield item, value, True
            elif item in self._culprits:
                given.add(item)
                yield item, *self._culprits[item]

    def _work(self, exchange: Path) -> None:
        """Run one child after another until nothing is left to claim."""
        while True:
            left = [i for i in self._items if not (exchange / f"claim-{i}").is_symlink()]
            if not left:
                return
            with self._lock:
                self._children += 1
                name = f"child-{self._children}"
            result = run_in_time(self._job(name, exchange, len(left)), self._deadline)
            culprit = self._unfinished(exchange, name)
            if culprit is not None:
                claimed = (exchange / f"claim-{culprit}").lstat().st_mtime
                self.ended_after_s[culprit] = max(0.0, time.time() - claimed)
                log = _tail(exchange / f"log-{culprit}")
                keep = _by_signal(result, "SIGPROF")
                self._culprits[culprit] = (blame(result, log, self._limits), keep)
            elif not result.ok:
                self._stopped = result  # it ended before any config: so would the next child
                return

    def _job(self, name: str, exchange: Path, left: int) -> Job:
        limits = self._limits
        return Job(
            kind="compile" if self._payload.get("binaries") is None else "compile_and_keep",
            payload={
                **self._payload,
                "items": list(self._items.values()),
                "exchange": str(exchange),
                "child": name,
                "deadline_s": limits.deadline_s,
                "processor_s": limits.processor_s,
                "import_deadline_s": limits.import_deadline_s,
            },
            limits=JobLimits(
                # the child keeps each config's own deadline; this one is for a child that
                # switched it off
                deadline_s=START_S + limits.import_deadline_s + limits.deadline_s * (left + 1),
                memory_bytes=limits.memory_bytes,
            ),
            environment=ENVIRONMENT,
        )

    def _unfinished(self, exchange: Path, name: str) -> int | None:
        """The item that this child took and left without a result."""
        for item in self._items:
            claim = exchange / f"claim-{item}"
            result = exchange / f"result-{item}.json"
            if claim.is_symlink() and str(claim.readlink()) == name and not result.exists():
                return item
        return None

    def _never_begun(self) -> Mapping[str, Any]:
        result = self._stopped
        if self._deadline is not None and self._deadline.over:
            return _failed("timeout", self._deadline.reason)
        if result is None:
            return _failed("crash", "no child gave a result for it")
        if _by_signal(result, "SIGALRM"):
            after = f"{self._limits.import_deadline_s:g} s"
            return _failed("timeout", f"the program was still being imported after {after}")
        if TOOL_ERROR in (result.reason or ""):
            said = (result.reason or "").replace(f"{TOOL_ERROR}: ", "")
            return _failed("tool", f"Warpwright cannot import the program without its GPU: {said}")
        kind = _kind(result)
        reason = f"the program cannot be imported: {result.reason}"
        return _failed("error" if result.outcome is JobOutcome.FAILED else kind, reason)


def usable_workers() -> int:
    """Children to run at a time: usable cores, fewer where memory is short."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    import psutil  # only here, so that a check that compiles nothing does not load it

    by_memory = int(psutil.virtual_memory().available // CHILD_BYTES)
    return max(1, min(cores, by_memory))


def read_result(path: Path) -> Mapping[str, Any] | None:
    """A result file's value; None while there is none."""
    try:
        value = json.loads(path.read_text())
    except OSError:
        return None
    except ValueError:
        return _failed("crash", "the child's result is not JSON")
    return value if isinstance(value, dict) else _failed("crash", "the child's result is no object")


def blame(result: JobResult, log: str, limits: PoolLimits) -> dict[str, Any]:
    """Why a config without a result has none, from how its child ended."""
    if _by_signal(result, "SIGALRM"):
        return _failed("timeout", f"still compiling after {limits.deadline_s:g} s")
    if _by_signal(result, "SIGPROF"):
        took = f"{limits.processor_s:g} s of processor time"
        return _failed("timeout", f"still compiling after {took}")
    said = next(
        (line.strip() for line in log.splitlines() if "ERROR" in line or "Assertion" in line), ""
    )
    reason = result.reason or "the compiler's process ended without a result"
    return _failed(_kind(result), f"{reason}: {said}" if said else reason)


def _by_signal(result: JobResult, name: str) -> bool:
    return result.outcome is JobOutcome.CRASHED and name in (result.reason or "")


def _kind(result: JobResult) -> str:
    if result.outcome is JobOutcome.TIMEOUT:
        return "timeout"
    return "out of memory" if result.outcome is JobOutcome.OUT_OF_MEMORY else "crash"


def _failed(kind: str, reason: str) -> dict[str, Any]:
    return {"failed": {"kind": kind, "reason": reason}}


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - LOG_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
