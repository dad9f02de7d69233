"""Which programs of ours are looked at for a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conv2d_bench.layers import NamedLayer, task_of
from conv2d_bench.rows import Row
from conv2d_bench.warm import WarmJob
from warpwright.operators.conv2d.conv2d_text import label
from warpwright.proposers.schedules import candidates, emit
from warpwright.types.conv2d import Conv2dTask, Precision, ScheduleCandidate
from warpwright.types.gpu import GpuSheet

EXACT = (Precision.STRICT, Precision.TF32X3)
EXACT_TRIES = 6  # candidates of each policy that is more exact than TF32


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate, and the policy that it was made for: TF32 where the program is the same."""

    candidate: ScheduleCandidate
    precision: Precision

    @property
    def label(self) -> str:
        """Its name in rows; TF32, PyTorch's default, goes without saying."""
        policy = "" if self.precision is Precision.TF32 else f"{self.precision.value}: "
        return policy + label(self.candidate)


@dataclass(frozen=True, slots=True)
class Way:
    """Points of one schedule under one policy, the fastest first: what one program is made of."""

    points: tuple[Tried, ...]

    @property
    def schedule(self) -> str:
        return self.points[0].candidate.schedule

    @property
    def precision(self) -> Precision:
        return self.points[0].precision


def proposed(named: NamedLayer, sheet: GpuSheet, tries: int) -> tuple[Tried, ...]:
    """The best predicted candidates of a layer under PyTorch's default policy."""
    found = candidates(task_of(named.layer), sheet)[:tries]
    return tuple(Tried(candidate, Precision.TF32) for candidate in found)


def exact(named: NamedLayer, sheet: GpuSheet, tries: int) -> tuple[Tried, ...]:
    """The best predicted candidates under the policies that are more exact than TF32.

    None for half precision. Without those that are among the first `tries` of `proposed` already.
    """
    if named.layer.dtype != "float32":
        return ()
    plain = [candidate.program for candidate in candidates(task_of(named.layer), sheet)]
    done = set(plain[:tries])
    found = []
    for precision in EXACT:
        for candidate in candidates(_task(named, precision), sheet)[:EXACT_TRIES]:
            if candidate.program not in done:
                done.add(candidate.program)
                same = candidate.program in plain
                found.append(Tried(candidate, Precision.TF32 if same else precision))
    return tuple(found)


def begins_exact(named: NamedLayer, sheet: GpuSheet) -> bool:
    """Whether the best predicted program has no product of TF32, whatever the policy allows."""
    first = proposed(named, sheet, 1)
    return bool(first) and first[0].candidate.program in _exact_programs(named, sheet)


def ways(
    named: NamedLayer, sheet: GpuSheet, rows: Sequence[Row], top: int, *, only_exact: bool = False
) -> tuple[Way, ...]:
    """Programs worth timing, the fastest when tuned first; the best predicted one without rows.

    `only_exact`: none whose products are of TF32, unless there is no other.
    """
    plain = candidates(task_of(named.layer), sheet)
    every = [Tried(candidate, Precision.TF32) for candidate in plain]
    every += exact(named, sheet, tries=len(plain))
    times = {
        row["label"]: row["median_us"]
        for row in rows
        if row["layer"] == named.name and row["median_us"] is not None
    }
    timed = sorted((t for t in every if t.label in times), key=lambda t: times[t.label])
    if only_exact:
        programs = _exact_programs(named, sheet)
        timed = [t for t in timed if t.candidate.program in programs] or timed
    found: dict[tuple[str, Precision], list[Tried]] = {}
    for tried in timed or every:
        found.setdefault((tried.candidate.schedule, tried.precision), []).append(tried)
    made = tuple(Way(tuple(points[:top])) for points in found.values())
    return made if timed else made[:1]


def _exact_programs(named: NamedLayer, sheet: GpuSheet) -> set[str]:
    return {c.program for precision in EXACT for c in candidates(_task(named, precision), sheet)}


def emitted(named: NamedLayer, way: Way, sheet: GpuSheet) -> str:
    """The program that a user gets, with these points as its configs."""
    chosen = [tried.candidate for tried in way.points]
    return emit(_task(named, way.precision), chosen, sheet)


def _task(named: NamedLayer, precision: Precision) -> Conv2dTask:
    return replace(task_of(named.layer), precision=precision)


def warm_job(layer: str, name: str, source: str, folder: Path) -> WarmJob:
    """A job for a program, whose text is left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / f"{digest}.py"
    path.write_text(source, encoding="utf-8")
    return WarmJob(layer, f"{layer}/{name}", str(path))
