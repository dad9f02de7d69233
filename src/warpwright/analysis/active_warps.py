"""How many warps a config can keep active on an SM, from its launch and from its binary.

Two bounds of different worth. The launch alone bounds it, whatever the compiler did: a grid
with few blocks puts only so many on each SM. The binary's occupancy bounds it as compiled here;
the toolchain that a profile was taken with may have used other registers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.types.gpu import GpuSheet
from warpwright.types.study import ConfigStudy

# Where blocks follow each other without gaps, measured active warps are at least this share of a
# whole number of resident blocks. Of 37 recorded kernels whose config the grid alone fixes, 29
# are, and 4 lie under BROKEN_SHARE: evidence that may break a tie, no more.
WHOLE_SHARE = 0.98
# A number of blocks that is further from whole than this is none.
BROKEN_SHARE = 0.93
# With more blocks than this on an SM, steps are so fine that every number is near one.
MOST_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class ActiveWarps:
    """Active warps to expect, in percent of the SM's, averaged over the SMs that work.

    `low_pct` if all blocks take equally long, so that the last round leaves slots empty;
    `high_pct` if no slot is ever empty.
    """

    low_pct: float
    high_pct: float

    def distance_pct(self, measured_pct: float) -> float:
        """Percentage points by which a measured value lies outside."""
        return max(self.low_pct - measured_pct, measured_pct - self.high_pct, 0.0)


def most_by_launch_pct(study: ConfigStudy, sheet: GpuSheet, blocks: int) -> float:
    """The most active warps that a launch of so many blocks allows, whatever the binary is.

    Blocks are dealt out evenly over the SMs as long as there is room.
    """
    blocks_per_sm = math.ceil(blocks / sheet.sm_count)
    return min(100.0, blocks_per_sm * warp_step_pct(study, sheet))


def warp_step_pct(study: ConfigStudy, sheet: GpuSheet) -> float:
    """What one resident block adds, in percent of the SM's warps."""
    return 100.0 * study.config.num_warps / sheet.limits.warps_per_sm


def expected(study: ConfigStudy, sheet: GpuSheet | None, blocks: int | None) -> ActiveWarps | None:
    """Active warps in a launch of so many blocks, as compiled here; None: not compiled."""
    fit = next((view.occupancy for view in study.compiled if view.launchable), None)
    if fit is None:
        return None
    high_pct = fit.occupancy_pct
    if sheet is None or not blocks or not fit.blocks_per_sm:
        return ActiveWarps(high_pct, high_pct)
    working = min(sheet.sm_count, blocks)
    rounds = math.ceil(blocks / (sheet.sm_count * fit.blocks_per_sm))
    high_pct = min(high_pct, most_by_launch_pct(study, sheet, blocks))
    even_pct = blocks / working / rounds * (fit.occupancy_pct / fit.blocks_per_sm)
    return ActiveWarps(min(even_pct, high_pct), high_pct)


def whole_blocks(
    candidates: Sequence[ConfigStudy], measured_pct: float, sheet: GpuSheet
) -> tuple[ConfigStudy, ...]:
    """Candidates for which the measured warps are a whole number of blocks, if others' are not.

    Empty where this does not tell them apart. It needs no binary: only the warps of a block.
    """
    whole, broken = [], []
    for study in candidates:
        blocks = measured_pct / warp_step_pct(study, sheet)
        nearest = max(1, math.ceil(blocks - 0.02))
        if nearest <= MOST_BLOCKS and blocks / nearest >= WHOLE_SHARE:
            whole.append(study)
        elif blocks / nearest <= BROKEN_SHARE:
            broken.append(study)
    return tuple(whole) if len(whole) + len(broken) == len(candidates) and broken else ()
