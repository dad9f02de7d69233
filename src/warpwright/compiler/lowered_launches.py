"""Kernels in Triton's intermediate representation, each as its different launches call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from warpwright.compiler.kernel_calls import launch_options
from warpwright.compiler.lower import Lowered, LowerRequest, lower_kernels
from warpwright.compiler.specialize import specialization
from warpwright.compiler.ttir import read_function
from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache
from warpwright.tracing.trace import device_facts
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.kernel_ir import IrFunction
from warpwright.types.launch_trace import Launch, TensorArgument, TracedConfig

MAX_DIFFERENT_LAUNCHES = 24  # of one kernel; beyond that none of them is looked at


@dataclass(frozen=True, slots=True)
class LoweredLaunch:
    """A launch under one of its configs: the kernel's `function` for it and its parameters.

    `index`: which of the calls it belongs to; `count`: how often a forward pass makes it. Equal
    `key`: the same function. `function` is None where it could not be lowered.
    """

    index: int
    launch: Launch
    traced: TracedConfig
    count: int
    function: IrFunction | None
    names: tuple[str, ...]
    key: str


def lowered_launches(
    calls: Sequence[KernelCalls],
    program: str,
    sheet: GpuSheet,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> list[LoweredLaunch]:
    """Every different launch of each kernel under each of its configs, in order."""
    plan = [
        (index, launch, traced, count)
        for index, call in enumerate(calls)
        for launch, count in different_launches(call.launches)
        for traced in _once(launch.configs)
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
                program,
                distinct,
                compute_capability=sheet.compute_capability,
                facts=device_facts(sheet),
                cache=cache,
                deadline=deadline,
            ),
            strict=True,
        )
    )
    read = {key: _function(value) for key, value in lowered.items()}
    found = []
    for index, launch, traced, count in plan:
        key = repr(requests[index, id(launch), traced.config.meta])
        names = lowered[key].names
        found.append(LoweredLaunch(index, launch, traced, count, read[key], names, key))
    return found


def _distinct(requests: list[LowerRequest]) -> list[LowerRequest]:
    """Each once; by text, because 1, 1.0 and True are equal and mean different code."""
    return list({repr(request): request for request in requests}.values())


def _once(configs: Sequence[TracedConfig]) -> list[TracedConfig]:
    """Each config once: a list may repeat one, and a launch runs under one of them."""
    found: dict[Config, TracedConfig] = {}
    for traced in configs:
        found.setdefault(traced.config, traced)
    return list(found.values())


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
