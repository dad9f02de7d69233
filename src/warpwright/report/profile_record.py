"""The record of a profile: `profile --json`, and the file beside a profile that was written."""

from __future__ import annotations

import json
from typing import Any

from warpwright import __version__
from warpwright.formats.nsight import render_profile
from warpwright.report.schema_measured import MeasuredGpuRecord
from warpwright.report.schema_parts import SCHEMA_VERSION, RecordBase
from warpwright.types.profiling import ProfileRun


class ProfileConditionsRecord(RecordBase):
    ncu: str | None
    clock_control: str
    cache_control: str
    warmups: int
    seed: int


class ProfileRecord(RecordBase):
    """`profile` is the section as a request holds it; `measured` says what it is."""

    schema_name: str = "warpwright.profile"
    schema_version: int = SCHEMA_VERSION
    warpwright: str = __version__
    measured: bool = True
    gpu: MeasuredGpuRecord
    conditions: ProfileConditionsRecord
    metrics: list[str]
    units: dict[str, str]
    replaced: dict[str, str]
    left_out: list[str]
    without_value: dict[str, list[str]]
    other_kernels: dict[str, int]
    configs: dict[str, str]
    notes: list[str]
    wall_s: float
    profile: dict[str, Any]


def profile_record(run: ProfileRun) -> ProfileRecord:
    """The record of a profile."""
    return ProfileRecord(
        gpu=MeasuredGpuRecord.model_validate(run.gpu),
        conditions=ProfileConditionsRecord.model_validate(run.conditions),
        metrics=list(run.metrics),
        units=dict(run.units),
        replaced=dict(run.replaced),
        left_out=list(run.left_out),
        without_value={kernel: list(names) for kernel, names in run.without_value.items()},
        other_kernels=dict(run.other_kernels),
        configs=dict(run.configs),
        notes=list(run.notes),
        wall_s=run.wall_s,
        profile=json.loads(render_profile(run.profile)),
    )


def profile_notes(run: ProfileRun) -> list[str]:
    """What a reader of the section must know besides, one line each."""
    gpu, taken = run.gpu, run.conditions
    clocks = "left alone" if taken.clock_control == "none" else "locked to base"
    lines = [
        f"measured on {gpu.name}, driver {gpu.driver or 'unknown'}, ncu {taken.ncu or 'unknown'}; "
        f"clocks {clocks}, caches flushed before each pass"
    ]
    lines += [f"{kernel}: the tuner chose {config}" for kernel, config in run.configs.items()]
    lines += [f"{old} is retired: collected as {new}" for old, new in run.replaced.items()]
    lines += [
        f"{kernel}: no value for {', '.join(names)}" for kernel, names in run.without_value.items()
    ]
    if run.left_out:
        lines.append(f"not known to this ncu and GPU, left out: {', '.join(run.left_out)}")
    if run.other_kernels:
        ran = (f"{name[:80]} ({count})" for name, count in run.other_kernels.items())
        lines.append(f"other kernels of the same pass, not in the section: {', '.join(ran)}")
    return [*lines, *run.notes]
