"""What causes are looked for in: one kernel, its profile, the GPU; and how a cause is scored."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.costmodel.occupancy import Waves, waves
from warpwright.types.compiled import Compiled
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet
from warpwright.types.program import Kernel
from warpwright.types.request import KernelProfile
from warpwright.types.study import (
    Cause,
    CompiledView,
    ConfigStep,
    ConfigStudy,
    Evidence,
    KernelStudy,
)

SM_THROUGHPUT = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
DRAM_THROUGHPUT = "dram__throughput.avg.pct_of_peak_sustained_elapsed"
L2_HIT_RATE = "lts__t_sector_hit_rate.pct"
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"
LONG_SCOREBOARD = "long_scoreboard"

NEAR_ROOF_PCT = 80.0
UNMEASURED_PART = 0.5
"""What a share counts for where nothing measured stands behind it."""
FEW_BLOCKS = 2
"""So many blocks an SM are normal for a large tile on tensor cores."""
FIRST_CALL_PART = 0.1
"""What a share of the first call counts for: tuning is paid once."""


@dataclass(frozen=True, slots=True)
class CauseCase:
    """One kernel with all that is known of it. `helpers`: the jit functions that it calls."""

    source: Kernel
    study: KernelStudy
    sheet: GpuSheet
    profile: KernelProfile | None = None
    helpers: tuple[Kernel, ...] = ()

    @property
    def name(self) -> str:
        return self.study.kernel

    @property
    def config(self) -> ConfigStudy | None:
        """The config to speak of: the active one, else the likely best that can run."""
        return self.study.spoken_of

    @property
    def view(self) -> CompiledView | None:
        """How the config to speak of is compiled, in the first class that can run."""
        if self.config is None:
            return None
        return next((view for view in self.config.compiled if view.launchable), None)

    @property
    def compiled(self) -> Compiled | None:
        view = self.view
        return view.result if view is not None and isinstance(view.result, Compiled) else None

    @property
    def on_tensor_cores(self) -> bool:
        """Whether the binary of the config to speak of has tensor-core instructions."""
        return self.compiled is not None and bool(self.compiled.facts.get("mma"))

    @property
    def tile_is_large(self) -> bool:
        """A tile on tensor cores that fills an SM with one or two blocks: the usual case there."""
        fits = None if self.view is None else self.view.occupancy
        return self.on_tensor_cores and fits is not None and 1 <= fits.blocks_per_sm <= FEW_BLOCKS

    @property
    def waves(self) -> Waves | None:
        """The launch in waves; None without a traced grid."""
        config, view = self.config, self.view
        if config is None or config.blocks is None or view is None or view.occupancy is None:
            return None
        return waves(config.blocks, view.occupancy.blocks_per_sm, self.sheet.sm_count)

    def stated(self, metric: str) -> float | None:
        """A metric of the profile, where all profiled launches agree on it."""
        return None if self.profile is None else self.profile.metric(metric)

    @property
    def stall_pct(self) -> tuple[str, float] | None:
        """The profile's long_scoreboard share: the metric's name and its value."""
        if self.profile is None:
            return None
        names = {name for launch in self.profile.launches for name in launch}
        for name in sorted(names):
            value = self.profile.metric(name)
            if LONG_SCOREBOARD in name and name.endswith("pct") and value is not None:
                return name, value
        return None

    @property
    def roof_pct(self) -> float | None:
        """The nearer of the two roofs, SM and DRAM throughput; None unless both are stated."""
        sm, dram = self.stated(SM_THROUGHPUT), self.stated(DRAM_THROUGHPUT)
        return None if sm is None or dram is None else max(sm, dram)

    @property
    def unexplained_pct(self) -> float:
        """What the roofs leave of the time: 100 % where no profile says anything."""
        return 100.0 if self.roof_pct is None else max(0.0, 100.0 - self.roof_pct)

    @property
    def doubt(self) -> tuple[str, ...]:
        """What is not known of every cause that rests on the active config."""
        binaries = {config.identity for config in self.study.active or self.study.configs}
        if len(binaries) < 2:
            return ()
        return ("which of the configs was active: this is said of " + str(_shown(self.config)),)


def _shown(config: ConfigStudy | None) -> object:
    return "none" if config is None else config.config


def make_cause(
    id: str,
    case: CauseCase,
    claim: str,
    evidence: tuple[Evidence, ...],
    share_pct: float,
    *,
    unknown: tuple[str, ...] = (),
    moves: tuple[ConfigStep, ...] = (),
    against: tuple[ConfigStep, ...] = (),
    first_call: bool = False,
) -> Cause:
    """A cause with its score: the share; half of it unless a stated or measured fact is among
    the evidence; a tenth of that where it costs the first call alone."""
    share = min(100.0, max(0.0, share_pct))
    measured = any(e.origin in (Origin.STATED, Origin.MEASURED) for e in evidence)
    score = share * (1.0 if measured else UNMEASURED_PART)
    return Cause(
        id=id,
        kernel=case.name,
        claim=claim,
        evidence=evidence,
        unknown=unknown,
        share_pct=share,
        score=round(score * (FIRST_CALL_PART if first_call else 1.0), 1),
        moves=moves,
        against=against,
    )


def throughput_evidence(case: CauseCase) -> tuple[Evidence, ...]:
    """What the profile states of both roofs; nothing where it lacks one."""
    sm, dram = case.stated(SM_THROUGHPUT), case.stated(DRAM_THROUGHPUT)
    if sm is None or dram is None:
        return ()
    return (Evidence(f"{sm:.0f} % SM and {dram:.0f} % DRAM throughput", Origin.STATED),)
