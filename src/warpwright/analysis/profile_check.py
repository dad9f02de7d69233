"""What a profile says of a launch's resources against what was compiled here.

Registers, shared memory and the limits that follow from them depend on the toolchain. Where the
profile's differ from those of every config that may have been active, the toolchain (or the
program) was another one: a finding, not an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from warpwright.costmodel.occupancy import BLOCKS, REGISTERS, SHARED_MEMORY, WARPS
from warpwright.types.compiled import Compiled, Toolchain
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet
from warpwright.types.request import KernelProfile
from warpwright.types.study import CompiledView, ConfigStudy, Finding, KernelStudy

WAVES_TOLERANCE = 0.05
LIMITS = {
    "launch__occupancy_limit_registers": REGISTERS,
    "launch__occupancy_limit_shared_mem": SHARED_MEMORY,
    "launch__occupancy_limit_warps": WARPS,
    "launch__occupancy_limit_blocks": BLOCKS,
}
_TRITON_VERSION = re.compile(r"\btriton\b[\s:=v(]{1,3}(?:version\s{0,3})?(\d{1,3}\.\d{1,3})", re.I)


def resource_disagreements(
    study: KernelStudy, profile: KernelProfile | None, sheet: GpuSheet
) -> tuple[str, ...]:
    """A sentence for each number of the profile that no config that may be active has.

    Compared where the profile has it: registers, threads and shared memory of a block, the four
    occupancy limits, waves, and the number of SMs.
    """
    views = [
        (config, view)
        for config in study.active or study.configs
        for view in config.compiled
        if view.launchable
    ]
    if profile is None or not views:
        return ()
    found = [
        *_different(profile, "launch__registers_per_thread", _of(views, _registers), "registers"),
        *_different(profile, "launch__block_size", _of(views, _threads), "threads a block"),
        *_shared(profile, _of(views, _shared_bytes), sheet),
    ]
    if not found:  # else they differ for a reason that was told
        for metric, limiter in LIMITS.items():
            limits = [v.occupancy.limits.get(limiter) for _, v in views if v.occupancy is not None]
            kept = {limit for limit in limits if limit is not None}
            found += _different(profile, metric, kept, f"blocks an SM by {limiter}")
        found += _waves(profile, views, sheet)
    found += _different(profile, "launch__sm_count", {sheet.sm_count}, "SMs", "the card has")
    return tuple(found)


def _of(
    views: Sequence[tuple[ConfigStudy, CompiledView]], read: Callable[[Compiled], int]
) -> set[int]:
    return {read(view.result) for _, view in views if isinstance(view.result, Compiled)}


def _registers(compiled: Compiled) -> int:
    return compiled.resources.registers_per_thread


def _threads(compiled: Compiled) -> int:
    return compiled.resources.threads_per_block


def _shared_bytes(compiled: Compiled) -> int:
    return compiled.resources.shared_bytes


def _different(
    profile: KernelProfile,
    metric: str,
    ours: Iterable[int],
    noun: str,
    whose: str = "what was compiled here has",
) -> list[str]:
    stated, known = profile.values(metric), sorted(set(ours))
    if not stated or not known or any(value in known for value in stated):
        return []
    shown = ", ".join(f"{value:,.0f}" for value in dict.fromkeys(stated))
    return [
        f"the profile has {shown} {noun} ({metric}), {whose} {' or '.join(f'{n:,}' for n in known)}"
    ]


def _shared(profile: KernelProfile, ours: set[int], sheet: GpuSheet) -> list[str]:
    """Dynamic and static shared memory together; the whole may hold the driver's reserve."""
    dynamic = profile.values("launch__shared_mem_per_block_dynamic")
    static = profile.values("launch__shared_mem_per_block_static")
    if dynamic:
        pairs = zip(dynamic, static, strict=True) if len(static) == len(dynamic) else ()
        whole = {sum(pair) for pair in pairs} or set(dynamic)
        if whole & {float(n) for n in ours}:
            return []
        metric = "launch__shared_mem_per_block_dynamic"
        return _different(profile, metric, ours, "B of shared memory a block")
    reserve = sheet.limits.reserved_shared_bytes_per_block
    accepted = {float(n + extra) for n in ours for extra in (0, reserve)}
    if set(profile.values("launch__shared_mem_per_block")) & accepted:
        return []
    noun = "B of shared memory a block"
    return _different(profile, "launch__shared_mem_per_block", ours, noun)


def _waves(
    profile: KernelProfile, views: Sequence[tuple[ConfigStudy, CompiledView]], sheet: GpuSheet
) -> list[str]:
    metric = "launch__waves_per_multiprocessor"
    stated = profile.values(metric)
    ours = [
        config.blocks / (view.occupancy.blocks_per_sm * sheet.sm_count)
        for config, view in views
        if config.blocks and view.occupancy is not None and view.occupancy.blocks_per_sm
    ]
    if not stated or not ours:
        return []
    if any(abs(s - o) <= WAVES_TOLERANCE * max(s, o) for s in stated for o in ours):
        return []
    return [
        f"the profile has {', '.join(f'{s:.2f}' for s in stated)} waves ({metric}), what was "
        f"traced and compiled here {' or '.join(f'{o:.2f}' for o in sorted(set(ours)))}"
    ]


def toolchain_finding(texts: Iterable[str], toolchain: Toolchain | None) -> Finding | None:
    """A finding where a request names a Triton version that is not the one used here."""
    if toolchain is None:
        return None
    named = dict.fromkeys(v for text in texts for v in _TRITON_VERSION.findall(text))
    ours = ".".join(toolchain.triton.split(".")[:2])
    others = [version for version in named if version != ours]
    if not others or ours in named:
        return None
    return Finding(
        "toolchain-differs",
        "the request",
        f"It names Triton {' and '.join(others)}; everything here was compiled with "
        f"{toolchain.triton}. Registers and shared memory can differ by a lot between versions.",
        Origin.STATED,
        weight=70,
    )
