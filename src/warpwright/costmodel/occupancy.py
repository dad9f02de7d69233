"""Occupancy: how many blocks of a kernel fit on one SM, and what caps them.

The arithmetic is that of NVIDIA's occupancy calculator (`cuda_occupancy.h`) for compute
capability 7.5 and later, with the shared-memory carve-out left at its default and the opt-in
limit per block, which is how Triton launches. One named barrier a block never binds there
(every architecture has at least one barrier per block slot), so barriers do not appear; a
kernel that uses several (warp specialisation) may fit fewer blocks than told here.
"""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.errors import InternalError
from warpwright.types.compiled import Occupancy
from warpwright.types.gpu import SmLimits

WARPS = "warps"
BLOCKS = "blocks"
REGISTERS = "registers"
SHARED_MEMORY = "shared memory"


def round_up(value: int, unit: int) -> int:
    """The smallest multiple of `unit` that is not under `value`."""
    return -(-value // unit) * unit


def warps_per_block(limits: SmLimits, threads_per_block: int) -> int:
    """Warps that a block of so many threads takes; the last one may be partly empty."""
    return -(-threads_per_block // limits.warp_size)


def registers_per_warp(limits: SmLimits, registers_per_thread: int) -> int:
    """Registers allocated to one warp: the threads' own, rounded up to the allocation unit."""
    return round_up(registers_per_thread * limits.warp_size, limits.register_allocation_unit)


def checked_registers_per_block(
    limits: SmLimits, registers_per_thread: int, threads_per_block: int
) -> int:
    """Registers that the launch check counts for a block.

    The hardware assumes that every sub-partition takes its share, so the warps count rounded
    up to a multiple of the sub-partitions.
    """
    warps = round_up(warps_per_block(limits, threads_per_block), limits.sub_partitions)
    return registers_per_warp(limits, registers_per_thread) * warps


def allocated_shared_bytes(limits: SmLimits, shared_bytes_per_block: int) -> int:
    """Shared memory that a block takes from the SM: its own and the reserve, rounded up."""
    return round_up(
        shared_bytes_per_block + limits.reserved_shared_bytes_per_block,
        limits.shared_allocation_unit_bytes,
    )


def _warp_limit(limits: SmLimits, threads_per_block: int) -> int:
    if threads_per_block > limits.max_threads_per_block:
        return 0
    warps_per_sm = min(limits.warps_per_sm, limits.threads_per_sm // limits.warp_size)
    return warps_per_sm // warps_per_block(limits, threads_per_block)


def _register_limit(
    limits: SmLimits, registers_per_thread: int, threads_per_block: int
) -> int | None:
    per_warp = registers_per_warp(limits, registers_per_thread)
    if per_warp == 0:
        return None
    # The limit per thread is compared as allocated (255 takes the room of 256), as the
    # calculator does; `launchability` compares the count itself.
    if per_warp > registers_per_warp(limits, limits.max_registers_per_thread):
        return 0
    checked = checked_registers_per_block(limits, registers_per_thread, threads_per_block)
    if checked > limits.registers_per_block:
        return 0
    # Registers belong to sub-partitions: a warp never takes them from two.
    warps_per_partition = limits.registers_per_sm // limits.sub_partitions // per_warp
    warps_per_sm = warps_per_partition * limits.sub_partitions
    return warps_per_sm // warps_per_block(limits, threads_per_block)


def _shared_limit(limits: SmLimits, shared_bytes_per_block: int) -> int | None:
    allocated = allocated_shared_bytes(limits, shared_bytes_per_block)
    if allocated == 0:
        return None
    largest = limits.max_shared_bytes_per_block + limits.reserved_shared_bytes_per_block
    return 0 if allocated > largest else limits.shared_bytes_per_sm // allocated


def occupancy(
    limits: SmLimits,
    registers_per_thread: int,
    shared_bytes_per_block: int,
    threads_per_block: int,
) -> Occupancy:
    """Blocks and warps of a kernel that one SM holds at once.

    `shared_bytes_per_block` is static plus dynamic, without the driver's reserve. `limits` of
    the result maps each limiter to the blocks that it alone would allow; a resource that the
    kernel does not use at all is absent. `limiters` holds every limiter that is at the
    minimum, zero included; zero blocks mean that the kernel cannot run.

    `occupancy_pct` is resident warps over the SM's warps. Source: `cuda_occupancy.h`.
    """
    if threads_per_block <= 0 or registers_per_thread < 0 or shared_bytes_per_block < 0:
        raise InternalError(
            f"occupancy of a block with {threads_per_block} threads, {registers_per_thread} "
            f"registers, {shared_bytes_per_block} B shared memory"
        )
    found = {
        WARPS: _warp_limit(limits, threads_per_block),
        BLOCKS: limits.blocks_per_sm,
        REGISTERS: _register_limit(limits, registers_per_thread, threads_per_block),
        SHARED_MEMORY: _shared_limit(limits, shared_bytes_per_block),
    }
    caps = {limiter: blocks for limiter, blocks in found.items() if blocks is not None}
    blocks = min(caps.values())
    warps = blocks * warps_per_block(limits, threads_per_block)
    return Occupancy(
        blocks_per_sm=blocks,
        warps_per_sm=warps,
        occupancy_pct=100.0 * warps / limits.warps_per_sm,
        limiters=tuple(limiter for limiter, cap in caps.items() if cap == blocks),
        limits=caps,
    )


@dataclass(frozen=True, slots=True)
class Waves:
    """A launch in waves, one wave being all the blocks that the GPU holds at once.

    `full` counts complete waves; `tail_fraction` is the part of a wave that the blocks left
    over fill, 0.0 where none are left.
    """

    full: int
    tail_fraction: float

    @property
    def total(self) -> float:
        """Waves as a number, e.g. 2.25."""
        return self.full + self.tail_fraction

    @property
    def slots_used_pct(self) -> float | None:
        """Share of block slots filled if all waves took equally long; None without blocks."""
        rounds = self.full + (self.tail_fraction > 0)
        return 100.0 * self.total / rounds if rounds else None


def waves(blocks_total: int, blocks_per_sm: int, sm_count: int) -> Waves | None:
    """How a launch of `blocks_total` blocks divides into waves; None where no block fits."""
    if blocks_total < 0 or blocks_per_sm < 0 or sm_count <= 0:
        raise InternalError(f"waves of {blocks_total} blocks, {blocks_per_sm} × {sm_count}")
    slots = blocks_per_sm * sm_count
    if slots == 0:
        return None
    full, rest = divmod(blocks_total, slots)
    return Waves(full, rest / slots)
