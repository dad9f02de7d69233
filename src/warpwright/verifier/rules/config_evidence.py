"""What evidence says of one config of one kernel, with None for what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from warpwright.formats.nsight import is_kernel_of
from warpwright.types.compiled import Compiled, CompileFailed, Occupancy, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.request import KernelProfile
from warpwright.verifier.rules.launch_configs import KernelConfigs, LaunchConfig
from warpwright.verifier.rules.rule_context import CompileEvidence, RuleContext

WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"
SM_THROUGHPUT = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
REGISTERS = "launch__registers_per_thread"
_STALL = "stalled_long_scoreboard"


class ConfigEvidence:
    """Compile evidence of one config; every answer is None where there is no evidence."""

    def __init__(self, evidence: CompileEvidence, kernel: str, config: LaunchConfig) -> None:
        self._evidence = evidence
        self._key = (kernel, _filed_under(evidence, kernel, config))

    @property
    def result(self) -> Compiled | None:
        found = self._evidence.results.get(self._key)
        return found if isinstance(found, Compiled) else None

    @property
    def cubin(self) -> str | None:
        return None if self.result is None else self.result.cubin_sha256

    @property
    def registers_per_thread(self) -> int | None:
        return None if self.result is None else self.result.resources.registers_per_thread

    @property
    def spill_bytes(self) -> int | None:
        return None if self.result is None else self.result.spill_bytes

    @property
    def occupancy(self) -> Occupancy | None:
        return self._evidence.occupancy.get(self._key)

    @property
    def occupancy_pct(self) -> float | None:
        return None if self.occupancy is None else self.occupancy.occupancy_pct

    @property
    def why_never(self) -> Unlaunchable | str | None:
        """Why it is no choice: a limit it breaks, no binary for the target, a wrong output."""
        limit = self._evidence.unlaunchable.get(self._key)
        if limit is not None:
            return limit
        result = self._evidence.results.get(self._key)
        if isinstance(result, CompileFailed) and result.refused:
            return f"it does not compile: {result.reason}"
        return self._evidence.wrong.get(self._key)

    @property
    def is_known(self) -> bool:
        """It is known what becomes of it: compiled, or ruled out."""
        return self.result is not None or self.why_never is not None


def _filed_under(evidence: CompileEvidence, kernel: str, config: LaunchConfig) -> Config:
    """The key of a config. For a plain launch any key with its warps and stages will do,
    since tracing may file it without the tile parameters."""
    key = config.key
    if config.written is not None or (kernel, key) in evidence.results:
        return key
    bare = Config((), config.num_warps, config.num_stages, config.num_ctas, config.maxnreg)
    return bare if (kernel, bare) in evidence.results else key


def parent_evidence(
    context: RuleContext, configs: KernelConfigs, config: LaunchConfig
) -> ConfigEvidence:
    """Evidence of an original config."""
    return ConfigEvidence(context.parent_evidence, configs.parent_name, config)


def child_evidence(
    context: RuleContext, configs: KernelConfigs, config: LaunchConfig
) -> ConfigEvidence:
    """Evidence of a candidate's config; the parent's where it is an original of the same name."""
    return ConfigEvidence(context.child_evidence, configs.kernel, config)


def is_active(context: RuleContext, configs: KernelConfigs, config: LaunchConfig) -> bool | None:
    """Whether an original may have been active; None where nothing is known of it."""
    active = context.active.get(configs.parent_name)
    if active is None:
        return None
    bare = Config((), config.num_warps, config.num_stages, config.num_ctas, config.maxnreg)
    return bool({config.key, config.launched, bare} & active)


def profile_of(context: RuleContext, configs: KernelConfigs) -> KernelProfile | None:
    """The profile of a kernel of the parent, or None."""
    for profile in context.profile.kernels:
        if is_kernel_of(profile.kernel, configs.parent_name):
            return profile
    return None


def metric(context: RuleContext, configs: KernelConfigs, name: str) -> float | None:
    """A metric of a kernel of the parent, or None."""
    profile = profile_of(context, configs)
    return None if profile is None else profile.metric(name)


def stall_pct(context: RuleContext, configs: KernelConfigs) -> float | None:
    """Share of warps stalled on memory (long_scoreboard, per cent), or None."""
    profile = profile_of(context, configs)
    if profile is None:
        return None
    for name in _metric_names(profile.launches):
        if _STALL in name and name.endswith(".pct"):
            return profile.metric(name)
    return None


def _metric_names(launches: Iterable[Mapping[str, float | None]]) -> list[str]:
    return sorted({name for launch in launches for name in launch})


def misses_target(context: RuleContext, configs: KernelConfigs) -> bool | None:
    """Whether a metric that the stage names with a target misses it; None where none is known."""
    answers = []
    for target in context.stage.metrics:
        value = metric(context, configs, target.metric)
        if value is None or target.target is None or target.comparison is None:
            continue
        met = value < target.target if target.comparison == "<" else value > target.target
        answers.append(not met)
    return any(answers) if answers else None
