"""How a trial begins: processes that start while the program is still being read."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from warpwright.bench.device.worker import Worker
from warpwright.bench.device.worker_pool import split_cores
from warpwright.bench.full_size import Failure
from warpwright.bench.processes import Bench, open_bench
from warpwright.bench.statistics.budget import LEFT_AFTER_OPENING
from warpwright.search.trial_setup import TrialSetup
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem

SPARES = 3  # workers that are started ahead: parent and candidate, and one that is new


class Opening:
    """Processes for a trial, and the references of its problem, in a thread of their own.

    A problem is all that is needed for them: they are begun when the request was read, while its
    program is traced and compiled. As a context it ends what it began.
    """

    def __init__(
        self,
        setup: TrialSetup,
        problem: Problem,
        parent: str,
        caches: Path,
        tell: Listener = silent,
    ) -> None:
        self._setup, self._problem, self._parent = setup, problem, parent
        self._caches, self._tell = caches, tell
        self._opened = ExitStack()
        self._bench: Bench | None = None
        self._unwanted = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1)
        # The first worker starts at once: its kind of process is what all others wait for.
        self._first = Worker(setup.device, cores=split_cores().other)
        self._prepared: Future[Bench | Failure] = self._thread.submit(self._prepare)

    def __enter__(self) -> Opening:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        if not self._prepared.done() and self._bench is not None:
            self._bench.reference_process.interrupt()  # nobody will want the references
        self._thread.shutdown(wait=True)
        self._opened.close()
        self._first.close()

    def prepared(self) -> Bench | Failure:
        """The processes, once the references are there; or what failed."""
        return self._prepared.result()

    def _prepare(self) -> Bench | Failure:
        self._tell("measure", "starting workers")
        self._bench = bench = self._opened.enter_context(
            open_bench(
                self._problem,
                self._parent,
                (),
                device=self._setup.device,
                caches=self._caches,
                spares=SPARES,
                first=self._first,
                tell=self._tell,
            )
        )
        if self._unwanted.is_set():  # it was given up before there was anything to interrupt
            bench.reference_process.interrupt()
        return bench.prepare(self._setup.deadline.leaving(LEFT_AFTER_OPENING)) or bench
