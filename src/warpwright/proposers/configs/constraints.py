"""What a stage's rules say of a config list, as numbers that a proposer reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from warpwright.types.config import Config
from warpwright.types.program import Kernel, ProgramView
from warpwright.types.stage import Rule
from warpwright.verifier.rules.blocks import applies, concerns


@dataclass(frozen=True, slots=True)
class TuningRules:
    """The parameters of the stage's rules that bound a config list. None: not bounded."""

    count_min: int | None = None
    count_max: int | None = None
    warps: tuple[int, ...] | None = None
    stages: tuple[int, ...] | None = None
    stage_step: int = 1
    warps_need_occupancy: bool = False
    originals_stay: bool = False
    include: tuple[Config, ...] = ()
    frozen: bool = False  # no tile size changes
    blocks: tuple[Rule, ...] = ()  # rules on the values of tile sizes
    starts: tuple[Rule, ...] = ()  # rules on tile sizes to start with
    keep_tile: bool = False  # an original tile stays
    smaller_tile: bool = False  # a list has a smaller tile than another
    blocks_or_launch: bool = False  # configs vary tile sizes, or warps and stages
    more_stages: bool = True  # than the parent's

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> TuningRules:
        """Read the parameters off a stage's rules; of rules with one id the first counts."""
        first: dict[str, Rule] = {}
        for rule in rules:
            first.setdefault(rule.id, rule)
        include = tuple(
            Config.of({}, _whole(rule, "num_warps") or 4, _whole(rule, "num_stages") or 3)
            for rule in rules
            if rule.id == "configs.include"
        )
        count = first.get("configs.count")
        return cls(
            count_min=_whole(count, "min"),
            count_max=_whole(count, "max"),
            warps=_values(first.get("num_warps.domain")),
            stages=_values(first.get("num_stages.domain")),
            stage_step=_whole(first.get("num_stages.step"), "max") or 1,
            warps_need_occupancy="num_warps.only_if" in first,
            originals_stay="configs.keep_original" in first,
            include=include,
            frozen="block_sizes.frozen" in first,
            blocks=tuple(rule for rule in rules if rule.id in _OF_BLOCKS),
            starts=tuple(rule for rule in rules if rule.id == "block_sizes.start"),
            keep_tile="block_sizes.keep_baseline" in first,
            smaller_tile=bool(first.keys() & {"configs.smaller_fallback", "block_sizes.halve_if"}),
            blocks_or_launch="autotune.blocks_or_launch" in first,
            more_stages="num_stages.increase_only_if" not in first,
        )

    def advises(self, config: Config) -> bool:
        """Whether all tile sizes that the rules advise to start with are as they say."""
        return all(
            _in_values(rule, size)
            for rule in self.starts
            for name, size in config.meta
            if isinstance(size, int) and concerns(rule.parameters.get("names"), name)
        )

    def block_allowed(self, name: str, size: int, view: ProgramView, kernel: Kernel) -> bool:
        """Whether the rules on tile sizes let a parameter of a kernel have this one."""
        return all(
            _OF_BLOCKS[rule.id](rule, size)
            for rule in self.blocks
            if concerns(rule.parameters.get("names"), name)
            and not rule.parameters.get("preference")
            and applies(rule, view, kernel)
        )

    def in_domain(self, config: Config) -> bool:
        return (self.warps is None or config.num_warps in self.warps) and (
            self.stages is None or config.num_stages in self.stages
        )


def _in_values(rule: Rule, size: int) -> bool:
    values = _values(rule)
    return values is None or size in values


def _is_multiple(rule: Rule, size: int) -> bool:
    return size % (_whole(rule, "of") or 1) == 0


def _is_power_of_two(_: Rule, size: int) -> bool:
    return size > 0 and size & (size - 1) == 0


_OF_BLOCKS: Mapping[str, Callable[[Rule, int], bool]] = {
    "block_sizes.domain": _in_values,
    "block_sizes.multiple": _is_multiple,
    "block_sizes.power_of_two": _is_power_of_two,
}


def _whole(rule: Rule | None, name: str) -> int | None:
    value = None if rule is None else rule.parameters.get(name)
    return value if isinstance(value, int) else None


def _values(rule: Rule | None) -> tuple[int, ...] | None:
    value = None if rule is None else rule.parameters.get("values")
    if not isinstance(value, tuple):
        return None
    return tuple(item for item in value if isinstance(item, int))


def asked_for(config: Config, rules: TuningRules) -> bool:
    """Whether the rules name this combination of warps and stages as one to have."""
    options = (config.num_warps, config.num_stages)
    return any((wanted.num_warps, wanted.num_stages) == options for wanted in rules.include)
