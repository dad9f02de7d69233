"""Instructions and sectors of a program's launches: compiled code joined with traced arguments."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from warpwright.compiler.disassembly import digest, disassemble
from warpwright.compiler.kernel_calls import specializations_of
from warpwright.compiler.lowered_launches import different_launches
from warpwright.compiler.specialize import specialization
from warpwright.costmodel.launch_work import dtype_bytes
from warpwright.costmodel.sass.count_blocks import CountedLaunch, count_launch
from warpwright.costmodel.sass.sass_run import NO_TIME, Stop, never
from warpwright.store.cache import ResultCache, own_digest
from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.counts import NO_LAUNCHES, LaunchCounts, ProgramCounts
from warpwright.types.launch_trace import (
    Argument,
    DescriptorArgument,
    Launch,
    ScalarArgument,
    TensorArgument,
    TracedConfig,
)
from warpwright.types.machine_code import KernelBinary
from warpwright.types.study import ConfigStudy, KernelStudy, Study

COUNTING = "warpwright.costmodel.sass.count_blocks"
NOT_TRACED = "its launches (no shapes are known)"
NOT_COMPILED = "a binary (the config was not compiled)"
UNMATCHED = "which argument is which"
CLUSTERS = "blocks that work in clusters"
HIDDEN_PARAMETERS = 3  # that Triton adds at the end, for scratch memory
ADDRESS_STEP_BITS = 40  # between the storages that pointers are taken to point to


def config_counts(
    calls: KernelCalls,
    study: ConfigStudy,
    cache: ResultCache | None = None,
    stop: Stop = never,
) -> LaunchCounts:
    """What all launches of a kernel in a forward pass do under one config (predicted).

    `stop` tells when no time is left: what is not counted by then is unknown, and not kept.
    """
    launches = different_launches(calls.launches)
    if not launches:
        return _unknown(NOT_TRACED)
    total = NO_LAUNCHES
    for launch, count in launches:
        traced = _nearest(launch, study.config)
        compiled = None if traced is None else _compiled(calls, study, launch, traced)
        if traced is None or compiled is None:
            return _unknown(NOT_COMPILED)
        total += _counted(compiled, launch, traced, cache, stop).times(count)
    return total


def _unknown(why: str) -> LaunchCounts:
    return LaunchCounts(None, None, None, unknown=(why,))


def _nearest(launch: Launch, config: Config) -> TracedConfig | None:
    """A launch under a config; one that no launch has goes as one with the same tile does."""
    same = [traced for traced in launch.configs if traced.config.meta == config.meta]
    return next((t for t in same if t.config == config), next(iter(same), None))


def _compiled(
    calls: KernelCalls, study: ConfigStudy, launch: Launch, traced: TracedConfig
) -> Compiled | None:
    """The binary that a launch runs: that of its specialisation."""
    wanted = specialization(launch, traced.config, "")
    for made, view in zip(specializations_of(calls, study.config), study.compiled, strict=False):
        if wanted == replace(made, label="") and isinstance(view.result, Compiled):
            return view.result
    return None


def _counted(
    compiled: Compiled,
    launch: Launch,
    traced: TracedConfig,
    cache: ResultCache | None,
    stop: Stop,
) -> LaunchCounts:
    if compiled.config.num_ctas > 1:
        return _unknown(CLUSTERS)
    binary = disassemble(compiled.code)
    if isinstance(binary, str):
        return _unknown(binary)
    words = parameter_words(binary, compiled.parameters, launch, traced)
    if words is None:
        return _unknown(UNMATCHED)
    form = CountedLaunch(words, traced.grid, compiled.resources.threads_per_block)
    if cache is None:
        return count_launch(binary, form, stop)
    key = _key(compiled.code, form)
    kept = cache.load(key)
    if kept is not None:
        return LaunchCounts(**{**kept, "unknown": tuple(kept["unknown"])})
    counts = count_launch(binary, form, stop)
    if NO_TIME not in counts.unknown:
        cache.store(key, asdict(counts))
    return counts


def _key(code: bytes, form: CountedLaunch) -> str:
    parts = [
        own_digest(COUNTING),
        digest(code),
        sorted(form.words.items()),
        form.grid,
        form.threads,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def parameter_words(
    binary: KernelBinary, names: Sequence[str], launch: Launch, traced: TracedConfig
) -> dict[int, int | None] | None:
    """The 32-bit words of a launch's parameters by their offset; None where they do not match.

    Each storage is given an address of its own, far from the others.
    """
    arguments = {**launch.arguments, **traced.arguments}
    words: dict[int, int | None] = {}
    position = 0
    for name in names:
        argument = arguments.get(name)
        if position >= len(binary.parameters):
            return None
        offset, size = binary.parameters[position]
        if isinstance(argument, DescriptorArgument):
            position += 1 + 2 * len(argument.shape)
            continue
        position += 1
        value = _bits(argument, traced.config.meta_dict.get(name), size)
        if isinstance(argument, TensorArgument) and size != 8:
            return None
        for word in range(max(1, size // 4)):
            words[offset + 4 * word] = None if value is None else value >> 32 * word & 0xFFFFFFFF
    hidden = binary.parameters[position:]
    if len(hidden) > HIDDEN_PARAMETERS:
        return None
    for offset, size in hidden:
        words |= {offset + place: 0 for place in range(0, size, 4)}
    return words


def _bits(argument: Argument | None, given: object, size: int) -> int | None:
    """A parameter's bits as an unsigned number."""
    if isinstance(argument, TensorArgument):
        shifted = 0 if argument.aligned else dtype_bytes(argument.dtype) or 1
        return (argument.storage + 1 << ADDRESS_STEP_BITS) + shifted
    value = argument.value if isinstance(argument, ScalarArgument) else given
    if isinstance(value, (bool, int)):
        return int(value) & (1 << 8 * size) - 1
    if isinstance(value, float) and size in (4, 8):
        try:
            packed = struct.pack("<f" if size == 4 else "<d", value)
        except OverflowError:
            return None
        return int.from_bytes(packed, "little")
    return None


def with_counts(study: Study, cache: ResultCache | None = None, stop: Stop = never) -> Study:
    """The study with the counts of every config that can be launched; equal binaries once."""
    kernels = []
    for calls, kernel in zip(study.calls, study.kernels, strict=True):
        done: dict[object, LaunchCounts] = {}
        configs = []
        for config in kernel.configs:
            same = (config.identity, config.grid)
            if calls.launches and config.launchable and same not in done:
                done[same] = config_counts(calls, config, cache, stop)
            counts = done.get(same) if config.launchable else None
            configs.append(replace(config, counts=counts))
        kernels.append(replace(kernel, configs=tuple(configs)))
    return replace(study, kernels=tuple(kernels))


def program_counts(
    study: Study,
    chosen: Mapping[str, Config] | None = None,
    *,
    cache: ResultCache | None = None,
    stop: Stop = never,
) -> ProgramCounts:
    """A program's counts with one config a kernel: that of `chosen`, else its usual one.

    Raises ValueError where the study has no toolchain or not the config.
    """
    if study.toolchain is None:
        raise ValueError("the study compiled nothing")
    total = NO_LAUNCHES
    occupancy: dict[str, float | None] = {}
    spills: dict[str, int | None] = {}
    for calls, kernel in zip(study.calls, study.kernels, strict=True):
        config = _chosen(kernel, (chosen or {}).get(kernel.kernel))
        total += config.counts or config_counts(calls, config, cache, stop)
        occupancy[kernel.kernel] = config.occupancy_pct
        spills[kernel.kernel] = config.spill_bytes
    operations: dict[str, int] = {}
    for operation in () if study.trace is None else study.trace.host_operations:
        operations[operation.name] = operations.get(operation.name, 0) + operation.count
    return ProgramCounts(total, occupancy, spills, operations, study.toolchain)


def _chosen(kernel: KernelStudy, config: Config | None) -> ConfigStudy:
    found = kernel.config(config or kernel.usual)
    if found is None:
        raise ValueError(f"{kernel.kernel} was not studied under {config}")
    return found
