"""Finished work of runs that may be killed at any moment, so that a resumed run repeats none.

A *session* is one question (a content key: request, problem, card, toolchain, budget). While it
is open, another run with the same question goes on where the last one stopped; a session that a
run brought to its end is closed, and asking again measures again. Within a session each piece of
work is *claimed* before it starts and *finished* with its result; both are on disk when the call
returns (SQLite, one transaction each).

A result counts as finished whatever it says: a candidate that hung is finished as "hung" and is
not tried again. Work that was claimed and never finished was under way when its run died. It is
tried once more, for the run may have been killed by its user; when that kills the run again, it is
given up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, question TEXT NOT NULL, opened TEXT NOT NULL, closed TEXT
);
CREATE INDEX IF NOT EXISTS open_sessions ON sessions(question, closed);
CREATE TABLE IF NOT EXISTS work (
    session INTEGER NOT NULL REFERENCES sessions(id), item TEXT NOT NULL,
    claims INTEGER NOT NULL, result TEXT, PRIMARY KEY (session, item)
);
"""
CLAIMS = 2  # how often a piece of work may be under way when its run dies
WAIT_FOR_LOCK_S = 30


@dataclass(frozen=True, slots=True)
class WorkClaim:
    """What is known of a piece of work when it is about to start.

    `result` is what it came to in an earlier run; `given_up` says that runs died during it.
    Where neither holds it is to be done now.
    """

    result: Mapping[str, Any] | None = None
    given_up: bool = False


class Ledger:
    """The database of sessions in a directory. Several runs may use it at a time."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "ledger.sqlite"

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """One transaction, written or rolled back when the block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=WAIT_FOR_LOCK_S)) as connection:
            connection.executescript(SCHEMA)
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def session(self, question: str) -> Session:
        """The open session of a question, else a new one."""
        with self.connect() as db:
            row = db.execute(
                "SELECT id FROM sessions WHERE question = ? AND closed IS NULL ORDER BY id DESC",
                (question,),
            ).fetchone()
            if row is not None:
                return Session(self, int(row[0]), resumed=True)
            cursor = db.execute(
                "INSERT INTO sessions (question, opened) VALUES (?, ?)", (question, _now())
            )
            assert cursor.lastrowid is not None
            return Session(self, cursor.lastrowid, resumed=False)


class Session:
    """Work on one question. `resumed`: an earlier run left it open."""

    def __init__(self, ledger: Ledger, number: int, *, resumed: bool) -> None:
        self._ledger = ledger
        self._number = number
        self.resumed = resumed

    def claim(self, item: str) -> WorkClaim:
        """Say that a piece of work starts now, unless it is finished or given up."""
        with self._ledger.connect() as db:
            row = db.execute(
                "SELECT claims, result FROM work WHERE session = ? AND item = ?",
                (self._number, item),
            ).fetchone()
            if row is None:
                db.execute("INSERT INTO work VALUES (?, ?, 1, NULL)", (self._number, item))
                return WorkClaim()
            claims, result = row
            if result is not None:
                return WorkClaim(result=json.loads(result))
            if claims >= CLAIMS:
                return WorkClaim(given_up=True)
            db.execute(
                "UPDATE work SET claims = claims + 1 WHERE session = ? AND item = ?",
                (self._number, item),
            )
            return WorkClaim()

    def finish(self, item: str, result: Mapping[str, Any]) -> None:
        """Keep what a claimed piece of work came to (JSON data). The first result stays."""
        text = json.dumps(dict(result))
        with self._ledger.connect() as db:
            changed = db.execute(
                "UPDATE work SET result = ? WHERE session = ? AND item = ? AND result IS NULL",
                (text, self._number, item),
            ).rowcount
            if not changed and not self._has(db, item):
                raise ValueError(f"{item!r} was never claimed")

    def unclaim(self, item: str) -> None:
        """Take a claim back: the work was ended on purpose, and killed no run."""
        with self._ledger.connect() as db:
            db.execute(
                "UPDATE work SET claims = claims - 1 "
                "WHERE session = ? AND item = ? AND result IS NULL AND claims > 0",
                (self._number, item),
            )

    def finished(self) -> dict[str, Mapping[str, Any]]:
        """All finished work of the session, in the order in which it was claimed."""
        with self._ledger.connect() as db:
            rows = db.execute(
                "SELECT item, result FROM work WHERE session = ? AND result IS NOT NULL "
                "ORDER BY rowid",
                (self._number,),
            ).fetchall()
        return {item: json.loads(result) for item, result in rows}

    def close(self) -> None:
        """The question is answered: the next run that asks it starts anew."""
        with self._ledger.connect() as db:
            db.execute("UPDATE sessions SET closed = ? WHERE id = ?", (_now(), self._number))

    def _has(self, db: sqlite3.Connection, item: str) -> bool:
        found = db.execute(
            "SELECT 1 FROM work WHERE session = ? AND item = ?", (self._number, item)
        ).fetchone()
        return found is not None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
