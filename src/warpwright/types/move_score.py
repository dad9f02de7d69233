"""How a move has done in the runs that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.evidence import Origin


@dataclass(frozen=True, slots=True)
class MoveScore:
    """One move on one kind of kernel for one GPU.

    `tried`: in how many answers it was tried on a kernel; `accepted`: in how many it was handed
    out. `gains_pct`: what it added each time that the same program was looked at without it;
    measured: parent time over its time, minus one; predicted: the same of executed instructions.
    """

    move: str
    kernel_kind: str
    gpu: str
    origin: Origin
    tried: int
    accepted: int
    gains_pct: tuple[float, ...]
