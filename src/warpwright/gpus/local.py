"""The GPU of this machine as a target: its sheet by name, laid over by what the device says."""

from __future__ import annotations

from dataclasses import replace

from warpwright.errors import MissingToolError
from warpwright.gpus.driver import DeviceFacts, device_facts
from warpwright.gpus.sheets import gpu_candidates
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.types.gpu import GpuSheet, ResolvedGpu, StatedGpu

HERE = "here"
DEVICE_SOURCE = "reported by this machine's CUDA driver"
BANDWIDTH_SOURCE = "memory clock times bus width, as this machine's CUDA driver reports them"
NO_GPU_HINT = (
    "`warpwright doctor` tells what this machine has; any other target goes by its name, such as "
    "--gpu 4090"
)


def local_gpu() -> ResolvedGpu:
    """The first visible GPU of this machine. Raises MissingToolError where there is none."""
    facts = device_facts()
    if facts is None:
        raise MissingToolError("this machine has no NVIDIA GPU to take as target", hint=NO_GPU_HINT)
    return resolve_device(facts)


def resolve_device(facts: DeviceFacts) -> ResolvedGpu:
    """Our sheet of a device, with each field that the device reports laid over it.

    Rates stay the sheet's: a driver reports clocks, not what the board is sold for. Only a
    board without a sheet takes its bandwidth from memory clock and bus width.
    """
    known = gpu_candidates(facts.name)
    name = known[0].name if known else facts.name
    resolved = resolve_gpu(StatedGpu(name, fields=facts.fields), source=DEVICE_SOURCE)
    sheet, bandwidth = resolved.sheet, facts.memory_bandwidth_gb_per_s
    if sheet.memory_bandwidth_gb_per_s is None and bandwidth is not None:
        sources = {**sheet.sources, "memory_bandwidth_gb_per_s": BANDWIDTH_SOURCE}
        sheet = replace(sheet, memory_bandwidth_gb_per_s=bandwidth, sources=sources)
    return replace(resolved, sheet=sheet)


def is_here(sheet: GpuSheet) -> tuple[bool, str]:
    """Whether the first visible GPU of this machine is the target; and what is here, in words."""
    facts = device_facts()
    if facts is None:
        return False, "this machine has no NVIDIA GPU"
    known = gpu_candidates(facts.name)
    name = known[0].name if known else facts.name
    return name == sheet.name, f"the GPU of this machine is {facts.name}"
