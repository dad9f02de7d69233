"""What moves claim that leave each value as it is, and move a tile's values to other threads."""

from __future__ import annotations

from warpwright.program.kernel_kind import adds_across_lanes
from warpwright.types.candidate import Claim
from warpwright.types.program import ProgramView


def claim_where_lanes_move(name: str, program: ProgramView) -> Claim:
    """No bit of the outputs changes, unless the kernel of that name adds up lanes: the compiler
    does that in an order that it takes from how they lie among the threads."""
    kernel = program.kernel(name)
    if kernel is not None and adds_across_lanes(kernel, program):
        return Claim.SAME_SUM
    return Claim.BIT_EQUAL
