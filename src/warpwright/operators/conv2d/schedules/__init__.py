"""Schedules of conv2d: kernels, their spaces of tiles, and how programs are made of them.

To add one: write the kernel and its launch function in a file of `kernels/`, write a module here
that satisfies `Schedule`, and add it to `SCHEDULES`.
"""

from __future__ import annotations

from typing import Protocol

from warpwright.operators.conv2d.schedules import (
    depth_window,
    depthwise,
    direct,
    grouped,
    grouped_scalar,
    nhwc,
    pointwise,
    pointwise_resident,
    pointwise_strided,
    row_reuse,
    row_reuse_ahead,
)
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dTask
from warpwright.types.gpu import GpuSheet


class Schedule(Protocol):
    """A module of this package. WHY is one clause: what its way of computing saves."""

    NAME: str
    WHY: str

    def reason_not(self, task: Conv2dTask, gpu: GpuSheet) -> str | None:
        """Why the schedule does not fit the task, None if it does."""

    def points(self, task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
        """The points worth trying, best first. The schedule fits."""

    def program(self, task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
        """A program in the strict format that tunes itself over the points."""

    def predicted_us(self, task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
        """The predicted time of one call, every pass counted."""


SCHEDULES: tuple[Schedule, ...] = (
    pointwise,
    pointwise_resident,
    pointwise_strided,
    depthwise,
    grouped_scalar,
    grouped,
    depth_window,
    row_reuse,
    row_reuse_ahead,
    nhwc,
    direct,
)
