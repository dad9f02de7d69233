"""The roofline floor of every launch: a kernel's intermediate representation joined with the trace.

Launches of a kernel that do the same are counted once, with how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.compiler.lowered_launches import LoweredLaunch
from warpwright.costmodel.launch_work import launch_floor
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.study import ConfigStudy, KernelStudy
from warpwright.types.work import LaunchFloor


def with_floors(
    kernels: Sequence[KernelStudy], lowered: Sequence[LoweredLaunch], sheet: GpuSheet
) -> tuple[KernelStudy, ...]:
    """The studies with the floor of each config's launches; unchanged where nothing was traced."""
    floors: dict[tuple[int, Config], list[LaunchFloor]] = {}
    done: dict[object, LaunchFloor] = {}
    for each in lowered:
        # warps and stages change nothing
        same = (each.index, id(each.launch), each.key, each.traced.grid)
        if same not in done:
            done[same] = launch_floor(
                each.function, each.names, each.launch, each.traced, sheet, launches=each.count
            )
        floors.setdefault((each.index, each.traced.config), []).append(done[same])
    return tuple(
        replace(
            kernel,
            configs=tuple(_with(c, floors.get((index, c.config), [])) for c in kernel.configs),
        )
        for index, kernel in enumerate(kernels)
    )


def _with(config: ConfigStudy, floors: list[LaunchFloor]) -> ConfigStudy:
    return replace(config, floors=tuple(floors))
