"""Rows of pairs, and how often the criterion was right of those that were timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from criterion.pairs import Pair, Timed

KEPT_SPEED, CLEAR_GAIN = 0.98, 1.10
LEAST_PRECISION, LEAST_RECALL = 0.95, 0.60


def recounted(rows: Sequence[dict[str, Any]], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Rows of timed pairs with the counts of now, where the same pair was counted."""
    now: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        now.setdefault((pair.case, pair.moves), []).append(pair)
    found = []
    for row in rows:
        same = [
            pair
            for pair in now.get((row["case"], row["moves"]), [])
            if all(
                was is None or was == counts
                for was, counts in zip(
                    row["instructions"], pair.counted["instructions"], strict=True
                )
            )
        ]
        found.append({**row, **(same[0].counted if same else {}), "recounted": bool(same)})
    return found


def row_of(pair: Pair, timed: Timed | None) -> dict[str, Any]:
    row: dict[str, Any] = {"case": pair.case, "moves": pair.moves, **pair.counted}
    if timed is None:
        return {**row, "speed": None, "failure": "not timed"}
    return {
        **row,
        "speed": timed.speed,
        "failure": timed.failure,
        "before_us": timed.before_us,
        "after_us": timed.after_us,
    }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The table of all pairs, then precision and recall of what was timed."""
    lines = ["| program | moves | instructions | sectors | criterion | speed |", "|-" * 6 + "|"]
    for row in rows:
        speed = "–" if row["speed"] is None else f"{row['speed']:.3f}×"
        verdict = "accepts" if row["accepted"] else "does not"
        counts = f"{_change(row['instructions'])} | {_change(row['sectors'])}"
        lines.append(f"| {row['case']} | {row['moves']} | {counts} | {verdict} | {speed} |")
    timed = [row for row in rows if row["speed"] is not None]
    accepted = [row for row in timed if row["accepted"]]
    kept = sum(row["speed"] >= KEPT_SPEED for row in accepted)
    clear = [row for row in timed if row["speed"] >= CLEAR_GAIN]
    taken = sum(row["accepted"] for row in clear)
    lines += [
        f"{len(timed)} of {len(rows)} pairs were timed.",
        *(
            [f"{sum(row['recounted'] for row in rows)} of them were counted again."]
            if any("recounted" in row for row in rows)
            else []
        ),
        f"Not slower than {KEPT_SPEED}× of what is accepted: {kept} of {len(accepted)} "
        f"(wanted: {LEAST_PRECISION:.0%}).",
        f"Accepted of what gains {CLEAR_GAIN - 1:.0%} or more: {taken} of {len(clear)} "
        f"(wanted: {LEAST_RECALL:.0%}).",
    ]
    return "\n".join(lines)


def _change(sides: Sequence[float | None]) -> str:
    before, after = sides
    return "?" if before is None or after is None or not before else f"{after / before - 1:+.1%}"
