"""The journal keeps every step, whatever happens to the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from warpwright.errors import InputError
from warpwright.store.journal import DONE, FAILED, RUNNING, Journal


def test_a_run_that_ends_keeps_its_steps_and_its_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    run = journal.begin("answer", "request.txt")
    journal.step(run, "compile", text="compiled conv", registers=128)
    journal.end(run, summary="changed", record={"program": "x"})
    (entry,) = journal.runs()
    assert (entry.id, entry.status, entry.summary) == (run, DONE, "changed")
    (step,) = journal.steps(run)
    assert step.detail == {"text": "compiled conv", "registers": 128}
    assert journal.record(run) == {"program": "x"}


def test_a_failed_run_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    run = journal.begin("check", "a")
    journal.end(run, failed=True, summary="no code")
    assert journal.find(run).status == FAILED


def test_runs_are_listed_newest_first_and_found_by_their_beginning(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first, second = journal.begin("answer", "a"), journal.begin("answer", "b")
    assert {entry.id for entry in journal.runs()} == {first, second}
    assert len(journal.runs(limit=1)) == 1
    assert journal.find(first).subject == "a"
    with pytest.raises(InputError, match="no such run"):
        journal.find("nonsense")
    with pytest.raises(InputError, match="more than one"):
        journal.find("20")


def test_a_journal_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert Journal(tmp_path / "nowhere").runs() == ()
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_is_killed_keeps_all_steps_up_to_then(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from warpwright.store.journal import Journal\n"
        "j = Journal(Path(sys.argv[1])); run = j.begin('answer', 'x')\n"
        "n = 0\n"
        "while True:\n"
        "    j.step(run, 'step', number=n); n += 1; print(n, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = 0
        while told < 20:
            told = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
    journal = Journal(tmp_path)
    (entry,) = journal.runs()
    assert entry.status == RUNNING
    numbers = [step.detail["number"] for step in journal.steps(entry.id)]
    assert numbers[:20] == list(range(20))
