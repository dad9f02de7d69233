"""Turns on a card: times are taken alone, everything else side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from warpwright.bench.device.card import turn


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test alone: another run may be measuring on this machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def _entered(alone: bool) -> threading.Event:
    inside = threading.Event()

    def enter() -> None:
        with turn("cuda", alone=alone):
            inside.set()

    threading.Thread(target=enter, daemon=True).start()
    return inside


def test_two_that_take_no_times_work_side_by_side() -> None:
    with turn("cuda", alone=False):
        assert _entered(alone=False).wait(5)


def test_who_takes_times_waits_for_the_others_and_they_for_it() -> None:
    with turn("cuda", alone=False):
        timed = _entered(alone=True)
        assert not timed.wait(0.2)
    assert timed.wait(5)
    with turn("cuda", alone=True):
        other = _entered(alone=False)
        assert not other.wait(0.2)
    assert other.wait(5)


def test_who_comes_after_one_that_waits_to_be_alone_waits_behind_it() -> None:
    with turn("cuda", alone=False):
        timed = _entered(alone=True)
        time.sleep(0.1)
        late = _entered(alone=False)
        assert not late.wait(0.2)
    assert timed.wait(5)
    assert late.wait(5)


def test_the_cpu_takes_no_turns(tmp_path: Path) -> None:
    with turn("cpu", alone=True), turn("cpu", alone=True):
        assert list(tmp_path.iterdir()) == []


def test_cards_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with turn("cuda", alone=True):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert _entered(alone=True).wait(5)


def _hold(started: object, directory: str) -> None:
    import tempfile

    tempfile.tempdir = directory
    with turn("cuda", alone=True):
        started.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_killed_run_gives_its_turn_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    holder = context.Process(target=_hold, args=(started, str(tmp_path)))
    holder.start()
    assert started.wait(10)
    waiting = _entered(alone=False)
    assert not waiting.wait(0.2)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert waiting.wait(10)
    holder.join()
