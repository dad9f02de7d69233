"""A profile that was taken here: what Nsight Compute gave, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.measurement import MeasuredGpu
from warpwright.types.request import MetricValue, Profile


@dataclass(frozen=True, slots=True)
class NcuLaunch:
    """One profiled launch: kernel name as ncu prints it, and the value of each metric."""

    kernel: str
    values: Mapping[str, MetricValue]


@dataclass(frozen=True, slots=True)
class NcuOutput:
    """What ncu wrote: launches in order, the unit of each metric, and its messages."""

    launches: tuple[NcuLaunch, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileConditions:
    """How a profile was taken. Clocks: "none" leaves them alone, "base" locks them."""

    ncu: str | None
    clock_control: str
    cache_control: str
    warmups: int
    seed: int


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """A profile of a program's own kernels in one forward pass, measured on `gpu`.

    `replaced`: retired name → the name under which it was collected. `left_out`: metrics of
    asked-for groups that this ncu or GPU lacks. `without_value`: kernel → metrics that came
    without a number (None in `profile`). `other_kernels`: library kernels of the same pass and
    how often each ran. `configs`: kernel → the config that its tuner had chosen.
    """

    profile: Profile
    gpu: MeasuredGpu
    conditions: ProfileConditions
    metrics: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    without_value: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_kernels: Mapping[str, int] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wall_s: float = 0.0
