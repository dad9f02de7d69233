"""Runs of `answer` that measure in Triton's interpreter, killed at random moments.

    PYTHONPATH=src:tests/support python tests/support/killing.py FOLDER   # one run, to its end

`kill_runs` starts such runs one after the other, kills each with SIGKILL after a random time, and
looks at the ledger before and after: what was finished must stay as it was.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

BLOCKS = (64, 128, 256, 512, 1024)


@dataclass
class Killed:
    """What the kills came to. `finished`: items of the ledger after each kill."""

    kills: int = 0
    finished: list[int] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    ended: bool = False
    record: dict[str, object] = field(default_factory=dict)


def run_once(folder: Path) -> None:
    """One measured answer, with its journal and ledger in `folder`; its record goes there too."""
    import workshop

    from warpwright import api
    from warpwright.report.record import answer_record

    two = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
    listed = ", ".join(f'triton.Config({{"BLOCK": {block}}})' for block in BLOCKS)
    program = workshop.PROGRAM.replace(two, f"[{listed}]")
    request = api.request(program, gpu="RTX 4090", problem=workshop.PROBLEM)
    measuring = api.Measuring(wanted=True, effort="normal", device="cpu")
    done = api.answer_run(request, measuring=measuring)
    record = answer_record(done.answer, done.run)
    (folder / "record.json").write_text(record.model_dump_json())


def kill_runs(folder: Path, kills: int, *, longest_s: float, seed: int) -> Killed:
    """Kill `kills` runs, each after up to `longest_s` seconds, then let one come to its end."""
    chance = random.Random(seed)
    found = Killed()
    before: dict[str, str] = {}
    for _ in range(kills):
        process = _start(folder)
        time.sleep(chance.uniform(0.2, longest_s))
        if process.poll() is None:
            found.kills += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        before = _compare(folder, before, found)
        found.finished.append(len(before))
    process = _start(folder)
    found.ended = process.wait(timeout=300) == 0
    if found.ended:
        found.record = json.loads((folder / "record.json").read_text())
    return found


def _start(folder: Path) -> subprocess.Popen[bytes]:
    environment = dict(os.environ, WARPWRIGHT_STATE_DIR=str(folder / "state"))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def _compare(folder: Path, before: dict[str, str], found: Killed) -> dict[str, str]:
    """The ledger's finished work now; what was there before and is not the same is noted."""
    database = folder / "state" / "trials" / "ledger.sqlite"
    if not database.exists():
        return before
    query = "SELECT session || ' ' || item, result FROM work WHERE result IS NOT NULL"
    with sqlite3.connect(database, timeout=30) as connection:
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'work'").fetchone()
        rows = connection.execute(query).fetchall() if made else []  # killed before it was made
    now = {str(item): str(result) for item, result in rows}
    found.changed += [item for item, result in before.items() if now.get(item) != result]
    return now


if __name__ == "__main__":
    run_once(Path(sys.argv[1]))
