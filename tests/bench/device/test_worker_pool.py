"""The pool: spares ahead, used workers again, dead ones replaced; cores."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.bench.device.worker import Worker
from warpwright.bench.device.worker_pool import USED_KEPT, CoreSplit, WorkerPool, split_cores
from warpwright.types.worker_reply import Done, WorkerDied


@pytest.mark.triton
def test_workers_are_used_again_and_dead_ones_replaced(workshop: ModuleType) -> None:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(workshop.small_worker())
        return started[-1]

    with WorkerPool(start, spares=1) as pool:
        first = pool.take()
        assert len(started) == 2  # a spare is on its way already
        assert isinstance(first.load(workshop.program()), Done)
        pool.give_back(first)
        assert pool.take() is first
        assert pool.take(fresh=True) is not first
        dead = first.load(workshop.program(top="\nimport os; os._exit(1)\n"))
        assert isinstance(dead, WorkerDied)
        pool.give_back(first)
        assert pool.take() is not first
        for worker in started:
            worker.close()


@pytest.mark.triton
def test_what_died_while_it_waited_is_not_handed_out(workshop: ModuleType) -> None:
    """A program that gets it would be told to have been killed."""
    with WorkerPool(workshop.small_worker, spares=1) as pool:
        spare, used = pool.take(fresh=True), pool.take(fresh=True)
        assert isinstance(used.ready(), Done)
        pool.give_back(used)
        pool.give_back(spare)
        for worker in (used, spare, *pool._spares):
            os.kill(worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while any(worker.healthy for worker in (used, spare, *pool._spares)):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        taken = pool.take()
        assert isinstance(taken.load(workshop.program()), Done)
        pool.give_back(taken)


@pytest.mark.triton
def test_used_workers_beyond_a_few_are_closed(workshop: ModuleType) -> None:
    """Each holds memory of the GPU: a long run that takes fresh ones would fill the card."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(workshop.small_worker())
        return started[-1]

    with WorkerPool(start, spares=0) as pool:
        taken = [pool.take(fresh=True) for _ in range(USED_KEPT + 1)]
        assert all(isinstance(worker.ready(), Done) for worker in taken)
        for worker in taken:
            pool.give_back(worker)
        again = [pool.take() for _ in taken]
        assert again[:USED_KEPT] == taken[:USED_KEPT][::-1]  # the last one used comes first
        assert again[-1] not in taken
    for worker in started:
        worker.close()
    assert not taken[-1].healthy


@pytest.mark.triton
def test_used_workers_are_gone_once_they_are_let_go(workshop: ModuleType) -> None:
    with WorkerPool(workshop.small_worker, spares=0) as pool:
        held, used = pool.take(), pool.take()
        assert isinstance(held.ready(), Done) and isinstance(used.ready(), Done)
        pool.give_back(used)
        pool.let_go()
        assert not used.healthy and held.healthy
        again = pool.take()
        assert again is not used
        for worker in (held, again):
            worker.close()


@pytest.mark.triton
def test_a_worker_moves_to_the_timing_cores_when_it_is_used(workshop: ModuleType) -> None:
    """All of its threads, so that spares can start elsewhere."""
    first, *others = sorted(os.sched_getaffinity(0))
    start = partial(workshop.small_worker, cores=others or [first])
    with WorkerPool(start, spares=1, cores=[first]) as pool:
        worker = pool.take()
        assert isinstance(worker.ready(), Done)
        assert isinstance(worker.load(workshop.program()), Done)
        threads = [int(path.name) for path in Path(f"/proc/{worker.pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {
            frozenset([first])
        }
        pool.give_back(worker)


@pytest.mark.triton
def test_a_worker_that_died_before_it_moved_is_told_as_dead(workshop: ModuleType) -> None:
    with WorkerPool(workshop.small_worker, spares=0, cores=sorted(os.sched_getaffinity(0))) as pool:
        worker = pool.take()
        assert isinstance(worker.ready(), Done)
        os.kill(worker.pid, 9)
        until = time.monotonic() + 30
        while Path(f"/proc/{worker.pid}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert isinstance(worker.load(workshop.program()), WorkerDied)
        pool.give_back(worker)


def test_timing_cores_are_kept_from_all_else() -> None:
    split = split_cores(2, frozenset(range(16)))
    assert split == CoreSplit((12, 13, 14, 15), tuple(range(12)))


def test_few_cores_are_not_split() -> None:
    assert split_cores(2, frozenset(range(4))) == CoreSplit(None, None)
    assert split_cores(2, frozenset(os.sched_getaffinity(0)) & {0, 1}) == CoreSplit(None, None)


@pytest.mark.triton
def test_the_first_worker_is_handed_out_first_and_more_can_be_expected(
    workshop: ModuleType,
) -> None:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(workshop.small_worker())
        return started[-1]

    first = workshop.small_worker()
    with WorkerPool(start, spares=1, first=first) as pool:
        assert started == []  # the first is the spare
        pool.expect(3)
        assert len(started) == 2
        pool.expect(1)  # fewer than before changes nothing
        assert pool.take(fresh=True) is first
        assert len(started) == 3
        first.close()
