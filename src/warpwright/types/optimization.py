"""What the algorithm stage looked at and chose, for one problem on one GPU."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.bench import BenchResult
from warpwright.types.conv2d import Conv2dTask, ScheduleCandidate
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.shapes import Problem
from warpwright.types.study import CompiledView, Study
from warpwright.types.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Screened:
    """A candidate, what it compiles to for the target, and why it is out if it is.

    `study` is None only where the candidate could not even be traced.
    """

    candidate: ScheduleCandidate
    study: Study | None = None
    rejected: str | None = None

    @property
    def views(self) -> tuple[CompiledView, ...]:
        """Every kernel of the candidate as compiled, pre-passes included."""
        kernels = () if self.study is None else self.study.kernels
        return tuple(v for kernel in kernels for c in kernel.configs for v in c.compiled)

    @property
    def spill_bytes(self) -> int | None:
        """The most that a thread of any kernel spills; None where one did not compile."""
        spills = [view.spill_bytes for view in self.views]
        known = [spill for spill in spills if spill is not None]
        return max(known) if known and len(known) == len(spills) else None

    @property
    def occupancy_pct(self) -> float | None:
        """Of the kernel that does most of the work by its floor: the last one without floors."""
        if self.study is None or not self.study.kernels:
            return None
        main = max(self.study.kernels, key=lambda kernel: kernel.floor_us or 0.0)
        return main.configs[0].occupancy_pct if main.configs else None

    @property
    def floor_us(self) -> float | None:
        """Roofline floor of all its launches, one after another; predicted.

        Not less than the problem's own: work that cannot be counted in a launch is still done.
        """
        if self.study is None:
            return None
        floors = [kernel.floor_us for kernel in self.study.kernels]
        known = [floor for floor in floors if floor is not None]
        if not known or len(known) < len(floors):
            return None
        return max(sum(known), self.study.floor_us or 0.0)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Usable candidates, the best first, and by what: a prediction, or times on a named GPU.

    `times_us` goes with `order`.
    """

    order: tuple[Screened, ...]
    times_us: tuple[float, ...]
    origin: Origin
    how: str


@dataclass(frozen=True, slots=True)
class Optimization:
    """The algorithm stage's result. `program` is None where no candidate passed the verifier.

    `parent`: the program that it started from, or None. `study` and `gate` are those of
    `program`, or of the last one that was refused. `beside`: the program timed beside eager
    PyTorch on this machine's GPU; None where nothing was measured.
    """

    problem: Problem
    task: Conv2dTask
    gpu: ResolvedGpu
    screened: tuple[Screened, ...]
    reason: str
    ranking: Ranking | None = None
    chosen: tuple[ScheduleCandidate, ...] = ()
    program: str | None = None
    study: Study | None = None
    gate: Verdict | None = None
    parent: str | None = None
    beside: BenchResult | None = None
