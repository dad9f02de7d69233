"""Workers started ahead, so that a new one costs no waiting; cores split by what they are for."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from warpwright.bench.device.worker import Worker

CORES_PER_TIMING_WORKER = 2
MIN_CORES_TO_SPLIT = 8
USED_KEPT = 8  # parent and candidate at once, and those that compiled ahead of them


@dataclass(frozen=True, slots=True)
class CoreSplit:
    """Cores for processes that are timed, and all others. None: too few to split."""

    timing: tuple[int, ...] | None
    other: tuple[int, ...] | None


def split_cores(timed_workers: int = 2, available: frozenset[int] | None = None) -> CoreSplit:
    """Two cores for each worker that is timed at once, kept from everything else.

    On fewer than 8 cores nothing is split: starving the compilers would cost more.
    """
    cores = sorted(available if available is not None else os.sched_getaffinity(0))
    wanted = CORES_PER_TIMING_WORKER * timed_workers
    if len(cores) < max(MIN_CORES_TO_SPLIT, 2 * wanted):
        return CoreSplit(None, None)
    return CoreSplit(tuple(cores[-wanted:]), tuple(cores[:-wanted]))


class WorkerPool:
    """Hands out workers: used ones that are healthy for another program, or fresh ones.

    `spares` workers are always started ahead. Used ones are kept up to USED_KEPT, for each holds
    memory of the GPU. Thread-safe. `start` makes a worker; it must not wait for it. `cores`: where
    a worker runs once it is taken, so that the starting of spares disturbs none that is timed;
    None: where it started. `first`: one that was started before the pool.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        *,
        spares: int = 2,
        cores: Sequence[int] | None = None,
        first: Worker | None = None,
    ) -> None:
        self._start = start
        self._cores = cores
        self._spares: deque[Worker] = deque([] if first is None else [first])
        self._used: deque[Worker] = deque()
        self._wanted = spares
        self._lock = threading.Lock()
        self._closing: list[threading.Thread] = []
        self._closed = False
        self._fill()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self) -> None:
        with self._lock:
            while not self._closed and len(self._spares) < self._wanted:
                self._spares.append(self._start())

    def expect(self, fresh: int) -> None:
        """Start so many ahead from now on, where that is more than before: they will be needed
        soon, one after the other."""
        self._wanted = max(self._wanted, fresh)
        self._fill()

    def take(self, *, fresh: bool = False) -> Worker:
        """A worker that is healthy. `fresh`: one that never ran a program, as finalists get."""
        with self._lock:
            if self._closed:
                raise ValueError("the pool is closed")
            # The last one used: its files and libraries are the warmest.
            if not fresh and (used := self._next_alive(self._used, last=True)) is not None:
                return used
            worker = self._next_alive(self._spares) or self._start()
        if self._cores is not None:
            worker.move_to(self._cores)
        self._fill()
        return worker

    def let_go(self) -> None:
        """End used workers that nobody has. Once this returns the memory that they held is free."""
        with self._lock:
            while self._used:
                self._get_rid_of(self._used.popleft())
            ending = list(self._closing)
        for thread in ending:
            thread.join()

    def _next_alive(self, workers: deque[Worker], *, last: bool = False) -> Worker | None:
        """The first (or the last) that did not die while it waited, where one is left."""
        while workers:
            worker = workers.pop() if last else workers.popleft()
            if worker.healthy:
                return worker
            self._get_rid_of(worker)
        return None

    def give_back(self, worker: Worker) -> None:
        """Keep a healthy worker for the next program, unless there are enough; get rid of any
        other without waiting."""
        with self._lock:
            room = len(self._used) < USED_KEPT
            if worker.healthy and room and not self._closed:
                self._used.append(worker)
                return
            self._get_rid_of(worker)

    def _get_rid_of(self, worker: Worker) -> None:
        """Close it beside what goes on. With the lock held."""
        thread = threading.Thread(target=worker.close)
        thread.start()
        self._closing = [other for other in self._closing if other.is_alive()] + [thread]

    def close(self) -> None:
        """Kill all workers that are not taken."""
        with self._lock:
            self._closed = True
            workers = [*self._spares, *self._used]
            self._spares.clear()
            self._used.clear()
        for worker in workers:
            worker.close()
        for thread in self._closing:
            thread.join()
