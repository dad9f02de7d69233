"""Results as JSON lines that a later call goes on from, and the table that is printed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """All rows of a file; none where it does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def latest(rows: Iterable[Row]) -> dict[str, Row]:
    """Layer → its last row."""
    return {row["layer"]: row for row in rows}


SEEDS = ("A", "B")


MOST_ERROR = 1.05  # of cuDNN's own


def speed(row: Row) -> float:
    """Against the best opponent; 1.0 where eager is kept: it is faster, or more exact."""
    error = row["worst_error_ratio"]
    if row["speedup"] is None or error is None or error > MOST_ERROR:
        return 1.0
    return max(1.0, row["speedup"])


def geomean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def table(rows: Sequence[Row]) -> str:
    """One line a layer, then the geometric mean over the layers that are no seed."""
    head = f"{'layer':18} {'default':>9} {'best opp.':>9} {'ours':>9} {'×best':>6} {'×default':>8}"
    lines = [f"{head}  {'error':>6}  opponent; ours"]
    for row in rows:
        default, best, ours = (row[k] for k in ("default_us", "opponent_us", "ours_us"))
        error = row["worst_error_ratio"]
        numbers = "".join(_cell(value, 10, 1) for value in (default, best, ours))
        ratios = _cell(row["speedup"], 7, 2) + _cell(row["speedup_default"], 9, 2)
        told = f"{row['opponent']}; {row['ours'] or row['why_not']}"
        lines.append(f"{row['layer']:18}{numbers}{ratios} {_cell(error, 7, 3)}  {told}")
    others = [row for row in rows if row["layer"] not in SEEDS]
    speeds = [speed(row) for row in others]
    kept = sum(value == 1.0 for value in speeds)
    raw = [row["speedup"] for row in others if row["speedup"] is not None]
    lines.append(
        f"{len(others)} layers beside the seeds: geomean {geomean(speeds):.3f} with {kept} kept "
        f"eager (counted 1.0); without keeping {geomean(raw):.3f}, "
        f"least {min(raw, default=math.nan):.2f}"
    )
    return "\n".join(lines)


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{value:{width}.{digits}f}" if value is not None else f"{'–':>{width}}"
