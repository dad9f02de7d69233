"""A study: everything known about a program on one GPU, before anything is changed.

Nothing in here was measured by us; resources are *compiled*, profile numbers *stated*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import (
    Compiled,
    CompileFailed,
    CompileResult,
    Occupancy,
    Toolchain,
    Unlaunchable,
)
from warpwright.types.config import Config, MetaValue
from warpwright.types.counts import LaunchCounts
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.shapes import Problem
from warpwright.types.work import LaunchFloor


class Activity(StrEnum):
    """Whether a config is the one that the profile was taken with."""

    ACTIVE = "active"  # it, or one that compiles to the same binary
    POSSIBLE = "possible"  # it cannot be told apart from others
    INACTIVE = "inactive"
    UNKNOWN = "unknown"  # nothing to tell it by


@dataclass(frozen=True, slots=True)
class CompiledView:
    """A compile result for one specialisation class, with what follows from it."""

    result: CompileResult
    occupancy: Occupancy | None = None
    unlaunchable: tuple[Unlaunchable, ...] = ()

    @property
    def launchable(self) -> bool:
        return isinstance(self.result, Compiled) and not self.unlaunchable

    @property
    def ruled_out(self) -> bool:
        """Shown to be unable to run. A compile that took too long or crashed shows nothing."""
        failed = isinstance(self.result, CompileFailed) and self.result.refused
        return failed or bool(self.unlaunchable)

    @property
    def cubin(self) -> str | None:
        return self.result.cubin_sha256 if isinstance(self.result, Compiled) else None

    @property
    def spill_bytes(self) -> int | None:
        """Bytes that a thread spills from registers, or None if the config did not compile."""
        return self.result.spill_bytes if isinstance(self.result, Compiled) else None


@dataclass(frozen=True, slots=True)
class ConfigStudy:
    """One config of one kernel: what it compiles to, per specialisation class."""

    config: Config
    compiled: tuple[CompiledView, ...]
    cubin_class: int | None = None  # equal numbers: equal binaries in every class, and hooks
    grid: tuple[int, ...] | None = None
    blocks: int | None = None
    activity: Activity = Activity.UNKNOWN
    floors: tuple[LaunchFloor, ...] = ()
    """One entry for each different launch of a forward pass; empty where shapes are unknown."""
    counts: LaunchCounts | None = None
    """What all its launches execute and touch; None where that was not counted."""

    @property
    def floor_us(self) -> float | None:
        """The least time of all its launches in a forward pass, one after another; predicted."""
        times = [None if f.floor_us is None else f.floor_us * f.launches for f in self.floors]
        known = [time for time in times if time is not None]
        return sum(known) if known and len(known) == len(times) else None

    @property
    def launchable(self) -> bool:
        """Launchable in at least one specialisation class."""
        return any(view.launchable for view in self.compiled)

    @property
    def ruled_out(self) -> bool:
        """Shown to be unable to run in every specialisation class."""
        return (
            bool(self.compiled)
            and all(view.ruled_out for view in self.compiled)
            and not self.config.others
        )

    @property
    def identity(self) -> tuple[str, ...] | None:
        """The binaries over all classes and the hook: what a launch with it does.

        None if a class did not compile, or where the config has arguments that take no part in
        what was compiled here.
        """
        cubins = tuple(view.cubin for view in self.compiled if view.cubin is not None)
        if not cubins or len(cubins) != len(self.compiled) or self.config.others:
            return None
        hook = self.config.pre_hook
        return cubins if hook is None else (*cubins, f"hook {hook}")

    @property
    def occupancy_pct(self) -> float | None:
        """Occupancy in the first class (the real call where shapes are known)."""
        first = self.compiled[0].occupancy if self.compiled else None
        return None if first is None else first.occupancy_pct

    @property
    def spill_bytes(self) -> int | None:
        """Spilled bytes per thread in the first class, or None if it did not compile."""
        return self.compiled[0].spill_bytes if self.compiled else None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a specialist would say, in one or two plain sentences, with its origin."""

    id: str
    subject: str  # a kernel, a config, the request
    text: str
    origin: Origin
    weight: int = 0  # larger: said earlier


class ConfigStep(StrEnum):
    """A change of a config that a cause speaks for or against."""

    MORE_WARPS = "more warps"
    FEWER_WARPS = "fewer warps"
    MORE_STAGES = "more stages"
    FEWER_STAGES = "fewer stages"
    SMALLER_TILE = "a smaller tile"
    LARGER_TILE = "a larger tile"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact that speaks for a cause, and where it comes from."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a kernel may take the time that it takes, as far as it can be told.

    `share_pct`: at most so much of the time can be laid to it, by its evidence. `score` orders
    causes: the share, halved where nothing measured stands behind it (docs/analysis.md).
    `unknown`: what the evidence cannot tell. `moves` may help, `against` are ruled out; neither
    holds a move where the config has nothing to do with it.
    """

    id: str
    kernel: str
    claim: str
    evidence: tuple[Evidence, ...]
    unknown: tuple[str, ...]
    share_pct: float
    score: float
    moves: tuple[ConfigStep, ...] = ()
    against: tuple[ConfigStep, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelStudy:
    """One kernel: its configs in source order, and what is known of its active one."""

    kernel: str
    autotuned: bool
    configs: tuple[ConfigStudy, ...]
    active_reason: str = ""
    specializations: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    causes: tuple[Cause, ...] = ()
    pruned: tuple[Config, ...] = ()
    """Configs that the program's own pruning leaves out of these launches: never tried, and not
    among `configs`."""

    @property
    def floor_us(self) -> float | None:
        """Its floor under the config that may be active, else under the best that can run."""
        active = [c.floor_us for c in self.active if c.floor_us is not None]
        able = [c.floor_us for c in self.configs if c.launchable and c.floor_us is not None]
        return min(active or able, default=None)

    @property
    def active(self) -> tuple[ConfigStudy, ...]:
        """The configs that may be the active one; one entry where it is known."""
        known = tuple(c for c in self.configs if c.activity is Activity.ACTIVE)
        return known or tuple(c for c in self.configs if c.activity is Activity.POSSIBLE)

    @property
    def spoken_of(self) -> ConfigStudy | None:
        """The config to speak of: of those that may be active and can run, the likely best.

        Where several may be it, one that spills nothing comes before one that does, then the
        lower floor, then the fewer bytes that loads ask for; what is not known comes last.
        """
        able = [c for c in self.active or self.configs if c.launchable]
        return min(able, key=_likely_worse, default=None)

    @property
    def usual(self) -> Config:
        """The config to run it with while another kernel is looked at: an active one if known."""
        return (self.active or self.configs)[0].config

    def config(self, config: Config) -> ConfigStudy | None:
        return next((study for study in self.configs if study.config == config), None)


def _likely_worse(config: ConfigStudy) -> tuple[bool, float, float]:
    loaded = [floor.work.loaded_bytes for floor in config.floors]
    known = [float(count) for count in loaded if count is not None]
    return (
        bool(config.spill_bytes),
        math.inf if config.floor_us is None else config.floor_us,
        sum(known) if known and len(known) == len(loaded) else math.inf,
    )


@dataclass(frozen=True, slots=True)
class ProblemCost:
    """Work of one forward pass at full size, counted on the problem's own `Model`.

    `flops` counts multiply and add as two; bytes are inputs and parameters read once and
    outputs written once. `needed_*` is the part that every program must do for sure: what a mask,
    a triangle, zeros, a look-up or another order of products may spare is left out of it.
    """

    flops: int
    read_bytes: int
    written_bytes: int
    compute_class: str  # "tf32", "fp32", "fp16", "bf16": the rate that the policy allows
    counted: tuple[str, ...] = ()  # operators whose work was counted
    needed_flops: int | None = None  # None: as `flops`, and so on
    needed_read_bytes: int | None = None
    needed_written_bytes: int | None = None
    spared: tuple[str, ...] = ()  # why a program may do with less than was counted

    @property
    def needed(self) -> tuple[int, int, int]:
        """Operations, bytes read and bytes written that no program can do without."""
        known = (self.needed_flops, self.needed_read_bytes, self.needed_written_bytes)
        counted = (self.flops, self.read_bytes, self.written_bytes)
        least = [c if n is None else n for n, c in zip(known, counted, strict=True)]
        return least[0], least[1], least[2]


@dataclass(frozen=True, slots=True)
class Study:
    """What is known of a program on a GPU.

    `known`: kernel → arguments that are certain where no shapes are given.
    """

    gpu: ResolvedGpu
    view: ProgramView
    kernels: tuple[KernelStudy, ...]
    problem: Problem | None = None
    trace: Trace | None = None
    cost: ProblemCost | None = None
    floor_us: float | None = None
    floor_bound: str | None = None
    floor_withdrawn: str | None = None  # why the problem has no floor, or a lower one
    toolchain: Toolchain | None = None
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    calls: tuple[KernelCalls, ...] = ()  # one entry a kernel, as in `kernels`
    known: Mapping[str, Mapping[str, MetaValue]] = field(default_factory=dict)

    def kernel(self, name: str) -> KernelStudy | None:
        return next((kernel for kernel in self.kernels if kernel.kernel == name), None)
