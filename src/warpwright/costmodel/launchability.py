"""Launchability: whether a compiled kernel can run on a GPU at all.

The compiler accepts kernels that no launch of them will survive: without a GPU nothing says
that a config needs more shared memory than a block may have.
"""

from __future__ import annotations

from warpwright.costmodel.occupancy import (
    allocated_shared_bytes,
    checked_registers_per_block,
    occupancy,
    registers_per_warp,
    warps_per_block,
)
from warpwright.types.compiled import Resources, Unlaunchable
from warpwright.types.gpu import SmLimits

MAX_GRID = (2**31 - 1, 65_535, 65_535)
"""Most blocks in x, y, z. Source: the CUDA programming guide's table, every architecture."""


def unlaunchable(
    resources: Resources, limits: SmLimits, num_warps: int | None = None
) -> tuple[Unlaunchable, ...]:
    """Every limit that the kernel breaks; empty where it can run.

    `num_warps` overrides the threads per block of `resources` (warps × warp size).
    """
    threads = resources.threads_per_block
    if num_warps is not None:
        threads = num_warps * limits.warp_size
    broken = _broken_block_limits(resources, limits, threads)
    if broken:
        return broken
    fits = occupancy(limits, resources.registers_per_thread, resources.shared_bytes, threads)
    return () if fits.blocks_per_sm else _broken_sm_limits(resources, limits, threads)


def unlaunchable_grid(grid: tuple[int, ...]) -> tuple[Unlaunchable, ...]:
    """Every dimension of a grid that has more blocks than a launch may have."""
    return tuple(
        Unlaunchable(f"in grid dimension {axis}", extent, most, "blocks")
        for axis, extent, most in zip("xyz", grid, MAX_GRID, strict=False)
        if extent > most
    )


def _broken_block_limits(
    resources: Resources, limits: SmLimits, threads: int
) -> tuple[Unlaunchable, ...]:
    """Limits that hold for one block wherever it runs."""
    checked = checked_registers_per_block(limits, resources.registers_per_thread, threads)
    needs = (
        (
            "shared memory per block",
            resources.shared_bytes,
            limits.max_shared_bytes_per_block,
            "B",
        ),
        ("per block", threads, limits.max_threads_per_block, "threads"),
        (
            "per thread",
            resources.registers_per_thread,
            limits.max_registers_per_thread,
            "registers",
        ),
        ("per block", checked, limits.registers_per_block, "registers"),
    )
    return tuple(
        Unlaunchable(limit, need, allowed, unit)
        for limit, need, allowed, unit in needs
        if need > allowed
    )


def _broken_sm_limits(
    resources: Resources, limits: SmLimits, threads: int
) -> tuple[Unlaunchable, ...]:
    """Why not one block fits on an SM although it keeps every limit per block.

    No board of ours has such limits; a request may state them (an SM smaller than the
    largest block).
    """
    warps = warps_per_block(limits, threads)
    per_warp = registers_per_warp(limits, resources.registers_per_thread)
    partition = limits.registers_per_sm // limits.sub_partitions
    warps_by_registers = partition // per_warp * limits.sub_partitions if per_warp else warps
    shared = allocated_shared_bytes(limits, resources.shared_bytes)
    largest = limits.max_shared_bytes_per_block + limits.reserved_shared_bytes_per_block
    room = min(limits.shared_bytes_per_sm, largest)
    needs = (
        ("shared memory on one SM, reserve and rounding included", shared, room, "B"),
        (
            "on one SM",
            warps,
            min(limits.warps_per_sm, limits.threads_per_sm // limits.warp_size),
            "warps",
        ),
        ("on one SM by its registers", warps, warps_by_registers, "warps"),
        ("on one SM", 1, limits.blocks_per_sm, "block"),
    )
    return tuple(
        Unlaunchable(limit, need, allowed, unit)
        for limit, need, allowed, unit in needs
        if need > allowed
    )
