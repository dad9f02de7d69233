"""Which programs of ours are looked at for a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from conv2d_bench.layers import NamedLayer, task_of
from conv2d_bench.rows import Row
from conv2d_bench.warm import WarmJob
from warpwright.proposers.schedules import candidates, emit
from warpwright.report.conv2d_text import label
from warpwright.types.conv2d import ScheduleCandidate
from warpwright.types.gpu import GpuSheet


def proposed(named: NamedLayer, sheet: GpuSheet, tries: int) -> tuple[ScheduleCandidate, ...]:
    """The best predicted candidates of a layer."""
    return tuple(candidates(task_of(named.layer), sheet))[:tries]


def tuned(
    named: NamedLayer, sheet: GpuSheet, rows: Sequence[Row], top: int
) -> tuple[ScheduleCandidate, ...]:
    """The candidates that were fastest when tuned, of one schedule; the best predicted without."""
    found = tuple(candidates(task_of(named.layer), sheet))
    times = {
        row["label"]: row["median_us"]
        for row in rows
        if row["layer"] == named.name and row["median_us"] is not None
    }
    timed = sorted((c for c in found if label(c) in times), key=lambda c: times[label(c)])
    order = timed or list(found)
    return tuple(c for c in order if c.schedule == order[0].schedule)[:top] if order else ()


def emitted(named: NamedLayer, chosen: Sequence[ScheduleCandidate], sheet: GpuSheet) -> str:
    """The program that a user gets, with these points as its configs."""
    return emit(task_of(named.layer), chosen, sheet)


def warm_job(layer: str, name: str, source: str, folder: Path) -> WarmJob:
    """A job for a program, whose text is left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / f"{digest}.py"
    path.write_text(source, encoding="utf-8")
    return WarmJob(layer, f"{layer}/{name}", str(path))
