"""Times of configs that were measured, by program, card and toolchain: for later runs.

Unlike the ledger, which ends with a question, points stay. They are never part of a decision: a
config that is handed out was timed afresh.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from warpwright.types.config import Config

SCHEMA = """
CREATE TABLE IF NOT EXISTS points (
    place TEXT NOT NULL, config TEXT NOT NULL, time_us REAL, failure TEXT, measured TEXT NOT NULL,
    PRIMARY KEY (place, config)
);
"""
WAIT_FOR_LOCK_S = 30


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """What measuring a config came to: microseconds a call of its program, or why it has none."""

    time_us: float | None
    failure: str | None = None


class MeasuredPoints:
    """The database of points in a directory. Several runs may use it at a time.

    A *place* names all that a time depends on besides the config: a digest.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "points.sqlite"

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=WAIT_FOR_LOCK_S)) as connection:
            connection.executescript(SCHEMA)
            with connection:
                yield connection

    def keep(self, place: str, points: Mapping[Config, MeasuredPoint]) -> None:
        """Keep points of a place; a newer one of a config takes the older one's place."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (place, text, point.time_us, point.failure, now)
            for config, point in points.items()
            if (text := _written(config)) is not None
        ]
        with self._connect() as db:
            db.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)", rows)

    def of(self, place: str) -> dict[Config, MeasuredPoint]:
        """All points of a place."""
        if not self.path.exists():
            return {}
        with self._connect() as db:
            rows = db.execute(
                "SELECT config, time_us, failure FROM points WHERE place = ? ORDER BY config",
                (place,),
            ).fetchall()
        return {_read(text): MeasuredPoint(time_us, failure) for text, time_us, failure in rows}


def _written(config: Config) -> str | None:
    """A config as text; None for one with a hook or other arguments: they are code."""
    if config.pre_hook is not None or config.others:
        return None
    options = [config.num_warps, config.num_stages, config.num_ctas, config.maxnreg]
    return json.dumps([dict(config.meta), *options], sort_keys=True)


def _read(text: str) -> Config:
    meta, warps, stages, ctas, registers = json.loads(text)
    return Config(tuple(meta.items()), warps, stages, ctas, registers)
