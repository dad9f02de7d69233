"""Every step of every run, on disk as it happens (SQLite), so that a run can be asked about.

One database holds all runs of a user: `$WARPWRIGHT_STATE_DIR` or the user's state directory.
Writes are committed one by one; a run killed at any moment keeps all steps up to then.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from warpwright.errors import InputError, Place, WarpwrightError
from warpwright.types.progress import Listener

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, command TEXT NOT NULL, subject TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, status TEXT NOT NULL, summary TEXT, record TEXT
);
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL REFERENCES runs(id), at TEXT NOT NULL, name TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_of_run ON steps(run);
"""
RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True, slots=True)
class Step:
    at: str
    name: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run as listed: times are UTC, ISO 8601."""

    id: str
    command: str
    subject: str
    started: str
    ended: str | None
    status: str
    summary: str | None


def default_state_dir() -> Path:
    """`$WARPWRIGHT_STATE_DIR`, else `warpwright` in the user's state directory."""
    if override := os.environ.get("WARPWRIGHT_STATE_DIR"):
        return Path(override)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "warpwright"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Journal:
    """The database of runs in a directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self.path = (directory or default_state_dir()) / "journal.sqlite"

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            connection.executescript(SCHEMA)
            connection.row_factory = sqlite3.Row
            with connection:
                yield connection

    def begin(self, command: str, subject: str) -> str:
        """Open a run; its id sorts by time."""
        run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        with self._connect() as db:
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, NULL, ?, NULL, NULL)",
                (run_id, command, subject, _now(), RUNNING),
            )
        return run_id

    def step(self, run_id: str, name: str, **detail: Any) -> None:
        with self._connect() as db:
            db.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?)",
                (run_id, _now(), name, json.dumps(detail, default=str)),
            )

    def end(
        self,
        run_id: str,
        *,
        failed: bool = False,
        summary: str = "",
        record: Mapping[str, Any] | None = None,
    ) -> None:
        with self._connect() as db:
            db.execute(
                "UPDATE runs SET ended = ?, status = ?, summary = ?, record = ? WHERE id = ?",
                (
                    _now(),
                    FAILED if failed else DONE,
                    summary,
                    None if record is None else json.dumps(record),
                    run_id,
                ),
            )

    def runs(self, limit: int = 20) -> tuple[RunEntry, ...]:
        """The latest runs, newest first."""
        if not self.path.exists():
            return ()
        with self._connect() as db:
            rows = db.execute(
                "SELECT id, command, subject, started, ended, status, summary FROM runs "
                "ORDER BY started DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return tuple(RunEntry(**dict(row)) for row in rows)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """The records of all runs that ended with one, oldest first."""
        if not self.path.exists():
            return
        with self._connect() as db:
            for row in db.execute(
                "SELECT record FROM runs WHERE record IS NOT NULL ORDER BY started"
            ):
                yield json.loads(row["record"])

    def find(self, run_id: str) -> RunEntry:
        """The run with this id or unambiguous beginning of one.

        Raises InputError when there is none or more than one.
        """
        matches = [run for run in self.runs(limit=100_000) if run.id.startswith(run_id)]
        if len(matches) != 1:
            raise InputError(
                "no such run" if not matches else "more than one run begins like this",
                place=Place(document=run_id),
                got=", ".join(run.id for run in matches[:5]) or None,
                hint="`warpwright runs` lists the runs of this machine",
            )
        return matches[0]

    def steps(self, run_id: str) -> tuple[Step, ...]:
        with self._connect() as db:
            rows = db.execute(
                "SELECT at, name, detail FROM steps WHERE run = ? ORDER BY rowid", (run_id,)
            ).fetchall()
        return tuple(Step(row["at"], row["name"], json.loads(row["detail"])) for row in rows)

    def record(self, run_id: str) -> Mapping[str, Any] | None:
        """The JSON record that the run ended with, if it did."""
        with self._connect() as db:
            row = db.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None or row["record"] is None:
            return None
        record: Mapping[str, Any] = json.loads(row["record"])
        return record


class RecordedRun:
    """A run in the journal: begun on entry, each step written, ended whatever happens."""

    def __init__(self, command: str, document: str | None, listener: Listener) -> None:
        self._journal = Journal()
        self._listener = listener
        self._command = command
        self._subject = document or "a request"
        self._ended = False
        self.id = ""

    def __enter__(self) -> RecordedRun:
        self.id = self._journal.begin(self._command, self._subject)
        return self

    def __call__(self, name: str, text: str, **detail: Any) -> None:
        self._journal.step(self.id, name, text=text, **detail)
        self._listener(name, text, **detail)

    def finish(self, summary: str, record: Mapping[str, Any]) -> None:
        self._journal.end(self.id, summary=summary, record=record)
        self._ended = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self._ended:
            what = str(error) if isinstance(error, WarpwrightError) else repr(error)
            self._journal.end(self.id, failed=True, summary=what)
