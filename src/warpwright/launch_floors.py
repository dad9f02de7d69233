"""The roofline floor of every launch: a kernel's intermediate representation joined with the trace.

Launches of a kernel that do the same are counted once, with how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.calls import launch_options
from warpwright.diagnosis.launch_work import launch_floor
from warpwright.formats.ttir import read_function
from warpwright.sandbox.cache import ResultCache
from warpwright.sandbox.lower import Lowered, LowerRequest, lower_kernels
from warpwright.sandbox.specialize import specialization
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.kernel_ir import IrFunction
from warpwright.types.study import ConfigStudy, KernelStudy
from warpwright.types.trace import Launch, TensorArgument, TracedConfig
from warpwright.types.work import LaunchFloor

MAX_DIFFERENT_LAUNCHES = 24  # of one kernel; beyond that its floor is left unknown


def with_floors(
    kernels: Sequence[KernelStudy],
    calls: Sequence[KernelCalls],
    program: str,
    sheet: GpuSheet,
    cache: ResultCache | None = None,
) -> tuple[KernelStudy, ...]:
    """The studies with the floor of each config's launches; unchanged where nothing was traced."""
    plan = [
        (index, launch, traced, count)
        for index, call in enumerate(calls)
        for launch, count in different_launches(call.launches)
        for traced in launch.configs
    ]
    requests = {
        (index, id(launch), traced.config.meta): LowerRequest(
            replace(specialization(launch, traced.config), label=""),
            Config(meta=traced.config.meta),
            launch_options(calls[index]),
        )
        for index, launch, traced, _ in plan
    }
    distinct = _distinct(list(requests.values()))
    lowered = dict(
        zip(
            map(repr, distinct),
            lower_kernels(
                program, distinct, compute_capability=sheet.compute_capability, cache=cache
            ),
            strict=True,
        )
    )
    read = {key: _function(value) for key, value in lowered.items()}
    floors: dict[tuple[int, Config], list[LaunchFloor]] = {}
    done: dict[object, LaunchFloor] = {}
    for index, launch, traced, count in plan:
        key = repr(requests[index, id(launch), traced.config.meta])
        same = (index, id(launch), key, traced.grid)  # warps and stages change nothing
        if same not in done:
            done[same] = launch_floor(
                read[key], lowered[key].names, launch, traced, sheet, launches=count
            )
        floors.setdefault((index, traced.config), []).append(done[same])
    return tuple(
        replace(
            kernel,
            configs=tuple(_with(c, floors.get((index, c.config), [])) for c in kernel.configs),
        )
        for index, kernel in enumerate(kernels)
    )


def _with(config: ConfigStudy, floors: list[LaunchFloor]) -> ConfigStudy:
    return replace(config, floors=tuple(floors))


def _distinct(requests: list[LowerRequest]) -> list[LowerRequest]:
    """Each once; by text, because 1, 1.0 and True are equal and mean different code."""
    return list({repr(request): request for request in requests}.values())


def _function(lowered: Lowered) -> IrFunction | None:
    return None if lowered.text is None else read_function(lowered.text)


def different_launches(launches: Sequence[Launch]) -> list[tuple[Launch, int]]:
    """Launches that differ in arguments or grid, each with how often it is made.

    Which storage a tensor lies in does not count. Empty where there are too many to look at.
    """
    found: dict[str, list[Launch]] = {}
    for launch in launches:
        found.setdefault(_content(launch), []).append(launch)
    if len(found) > MAX_DIFFERENT_LAUNCHES:
        return []
    return [(same[0], len(same)) for same in found.values()]


def _content(launch: Launch) -> str:
    return repr((dict(_plain(launch)), [_plain_config(traced) for traced in launch.configs]))


def _plain(launch: Launch) -> dict[str, object]:
    storages: dict[int, int] = {}
    return {
        name: replace(argument, storage=storages.setdefault(argument.storage, len(storages)))
        if isinstance(argument, TensorArgument)
        else argument
        for name, argument in launch.arguments.items()
    }


def _plain_config(traced: TracedConfig) -> object:
    return (traced.config, traced.grid, dict(traced.heuristic_values), dict(traced.arguments))
