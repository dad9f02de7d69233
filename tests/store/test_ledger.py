"""The ledger: finished work is never done again, work under way is tried once more."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warpwright.store.ledger import CLAIMS, Ledger, WorkClaim

ITEMS = 40
TO_DO = WorkClaim()  # neither finished nor given up
# A run: do each item that is not done, and write down every start and every end of one.
WORK = """
import sys, time
from pathlib import Path
from warpwright.store.ledger import WorkClaim as Claim, Ledger

folder = Path(sys.argv[1])
session = Ledger(folder).session("question")
log = (folder / "log").open("a", buffering=1)
for number in range(int(sys.argv[2])):
    claim = session.claim(str(number))
    if claim != Claim():
        continue
    log.write(f"start {number}\\n")
    time.sleep(0.004)
    session.finish(str(number), {"square": number * number})
    log.write(f"end {number}\\n")
"""


def test_finished_work_is_not_done_again(tmp_path: Path) -> None:
    first = Ledger(tmp_path).session("question")
    assert first.claim("a") == TO_DO
    first.finish("a", {"gain_pct": 3.5})
    again = Ledger(tmp_path).session("question")
    assert again.resumed
    assert again.claim("a").result == {"gain_pct": 3.5}
    assert again.claim("b") == TO_DO


def test_a_candidate_that_hung_is_finished_and_not_retried(tmp_path: Path) -> None:
    session = Ledger(tmp_path).session("question")
    session.claim("a")
    session.finish("a", {"failed": "hung"})
    again = Ledger(tmp_path).session("question").claim("a")
    assert again.result == {"failed": "hung"}


def test_work_under_way_when_its_run_died_is_tried_once_more_and_then_given_up(
    tmp_path: Path,
) -> None:
    claims = [Ledger(tmp_path).session("question").claim("a") for _ in range(CLAIMS + 1)]
    assert claims == [TO_DO] * CLAIMS + [WorkClaim(given_up=True)]


def test_work_that_was_ended_on_purpose_counts_as_not_begun(tmp_path: Path) -> None:
    session = Ledger(tmp_path).session("question")
    for _ in range(CLAIMS + 1):
        assert session.claim("a") == TO_DO
        session.unclaim("a")
    assert session.claim("a") == TO_DO
    session.finish("a", {"is": "done"})
    session.unclaim("a")
    assert session.claim("a").result == {"is": "done"}


def test_a_closed_session_is_not_resumed(tmp_path: Path) -> None:
    session = Ledger(tmp_path).session("question")
    session.claim("a")
    session.finish("a", {"n": 1})
    session.close()
    new = Ledger(tmp_path).session("question")
    assert not new.resumed
    assert new.claim("a") == TO_DO


def test_questions_do_not_share_work(tmp_path: Path) -> None:
    Ledger(tmp_path).session("one").claim("a")
    other = Ledger(tmp_path).session("two")
    assert not other.resumed
    assert other.claim("a") == TO_DO


def test_the_first_result_stays(tmp_path: Path) -> None:
    session = Ledger(tmp_path).session("question")
    session.claim("a")
    session.finish("a", {"n": 1})
    session.finish("a", {"n": 2})
    assert session.finished() == {"a": {"n": 1}}


def test_work_that_nobody_claimed_cannot_be_finished(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never claimed"):
        Ledger(tmp_path).session("question").finish("a", {})


def killed_run(folder: Path, after_s: float) -> None:
    """Start a run and kill it with SIGKILL at that moment, unless it ended before."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder), str(ITEMS)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_runs_killed_at_fifty_random_moments_lose_and_repeat_nothing(tmp_path: Path) -> None:
    moments = random.Random(20_24)
    kills = 0
    while kills < 50:
        for path in tmp_path.iterdir():
            path.unlink()
        killed_in_this_round = 0
        while killed_in_this_round < 5:
            killed_run(tmp_path, moments.uniform(0.08, 0.35))
            killed_in_this_round += 1
        kills += killed_in_this_round
        log = (tmp_path / "log").read_text().split("\n") if (tmp_path / "log").exists() else []
        starts = [line for line in log if line.startswith("start")]
        ends = {line for line in log if line.startswith("end")}
        results = Ledger(tmp_path).session("question").finished()
        for line in ends:  # what was finished is there, and was started no more than was lost
            number = line.split()[1]
            assert results[number] == {"square": int(number) ** 2}
        assert len(starts) <= len(results) + killed_in_this_round
        for number in results:
            assert starts.count(f"start {number}") <= CLAIMS
