"""Schedules: whole programs for one operator, from kernels that experts wrote.

`candidates` gives one program for each schedule and each point of its space that fits a problem,
in the order in which to try them; `emit` gives one program with a short config list.
"""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.operators.conv2d.schedules import SCHEDULES, Schedule
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dTask, ScheduleCandidate
from warpwright.types.gpu import GpuSheet

HEADS = 3  # schedules whose best points are tried before any second point
NEAR = 2.0  # of the best prediction; measured times were up to this much above predicted ones


def candidates(task: Conv2dTask, gpu: GpuSheet) -> tuple[ScheduleCandidate, ...]:
    """Every schedule at every point of its space that fits the task, in an order to try them.

    Best predicted first. Predictions err more between schedules than within one, so the best
    points of the next two schedules, where they are predicted to be near, come second and third.
    """
    found = []
    for schedule in SCHEDULES:
        if schedule.reason_not(task, gpu) is not None:
            continue
        for point in schedule.points(task, gpu):
            found.append(_candidate(schedule, task, point, gpu))
    order = sorted(found, key=lambda candidate: candidate.predicted_us)
    heads = {candidate.schedule: candidate for candidate in reversed(order)}
    near = [head for head in heads.values() if head.predicted_us <= NEAR * order[0].predicted_us]
    near = sorted(near, key=lambda head: head.predicted_us)[:HEADS]
    return (*near, *(candidate for candidate in order if candidate not in near))


def _candidate(
    schedule: Schedule, task: Conv2dTask, point: Point, gpu: GpuSheet
) -> ScheduleCandidate:
    predicted_us = schedule.predicted_us(task, point, gpu)
    return ScheduleCandidate(
        schedule=schedule.NAME,
        point=point.items,
        program=schedule.program(task, (point,), gpu),
        why=f"{schedule.NAME}: {schedule.WHY}",
        predicted_us=predicted_us,
    )


def emit(task: Conv2dTask, chosen: Sequence[ScheduleCandidate], gpu: GpuSheet) -> str:
    """One program that tunes itself over the chosen points, which are of one schedule.

    A config list has one kernel, so points of other schedules than the first one's are a bug
    of the caller's and raise `ValueError`.
    """
    names = {candidate.schedule for candidate in chosen}
    schedules = {schedule.NAME: schedule for schedule in SCHEDULES}
    if len(names) != 1 or not names <= schedules.keys():
        raise ValueError(f"points of one known schedule are needed, not of {sorted(names)}")
    points = tuple(Point.from_items(candidate.point) for candidate in chosen)
    return schedules[chosen[0].schedule].program(task, points, gpu)


def reasons_not(task: Conv2dTask, gpu: GpuSheet) -> dict[str, str]:
    """The schedules that do not fit a task, with the reason of each."""
    found = {schedule.NAME: schedule.reason_not(task, gpu) for schedule in SCHEDULES}
    return {name: reason for name, reason in found.items() if reason is not None}
