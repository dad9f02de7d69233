"""How much each lane of a kernel may hold through a loop."""

from __future__ import annotations

from warpwright.types.calls import KernelCalls

REGISTERS = 64
"""Most numbers that a thread may hold for results of its lanes, in the leanest config."""


def room_for_lanes(call: KernelCalls) -> int:
    """Most numbers that a block may hold for results of its lanes."""
    return REGISTERS * max((32 * config.num_warps for config in call.configs), default=128)
