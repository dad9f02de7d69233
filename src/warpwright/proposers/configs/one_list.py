"""Which of the configs that were measured to be faster may stand in one list together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.emit import with_passed_sizes
from warpwright.types.answer import ConfigPlan, Fate
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config

FALLBACK = "a smaller tile, which the rules ask for"
NO_FALLBACK = "the rules ask for a smaller tile in a list, and there is none"
ONE_KIND = "the rules let a list vary tiles, or warps and stages: it is of the other kind"


@dataclass(frozen=True, slots=True)
class TimedConfigs:
    """What timings say of a kernel's new configs, the fastest first.

    `faster` may be faster than the parent; `others` ran and are not. `originals`: the program's
    own, the fastest first, last those that could not be timed. `reasons`: every measured config of
    the kernel → what was measured.
    """

    faster: tuple[Config, ...] = ()
    others: tuple[Config, ...] = ()
    originals: tuple[Config, ...] = ()
    reasons: Mapping[Config, str] = field(default_factory=dict)


def as_rules_allow(
    plan: ConfigPlan,
    calls: KernelCalls,
    timed: TimedConfigs,
    rules: TuningRules,
    alone: str | None,
) -> ConfigPlan:
    """The plan with as many of its configs as may stand together, the fastest among them.

    `alone`: why only one may stand.
    """
    best = next((config for config in timed.faster if config in plan.kept), None)
    if alone is not None:
        own = [choice.config for choice in plan.choices if not choice.proposed]
        kept = own[:1] if best is None else [best]
        return _only(replace(plan, alone=alone), kept, f"only one config may stand: {alone}")
    if best is None:
        return plan
    plan = _of_one_sort(plan, calls, best, rules)
    return _with_fallback(plan, calls, best, timed, rules) if rules.smaller_tile else plan


def _of_one_sort(
    plan: ConfigPlan, calls: KernelCalls, best: Config, rules: TuningRules
) -> ConfigPlan:
    """Configs that vary tiles, or those that vary warps and stages, where the rules want that."""
    if not rules.blocks_or_launch or _varies_both(calls.configs):
        return plan
    full = dict(zip(plan.kept, with_passed_sizes(calls, plan.kept), strict=False))
    if not _varies_both(list(full.values())):
        return plan
    options = _options(full[best])
    same_launch = [c for c in plan.kept if _options(full[c]) == options]
    same_tile = [c for c in plan.kept if full[c].meta == full[best].meta]
    return _only(plan, max(same_launch, same_tile, key=len), ONE_KIND)


def _with_fallback(
    plan: ConfigPlan,
    calls: KernelCalls,
    best: Config,
    timed: TimedConfigs,
    rules: TuningRules,
) -> ConfigPlan:
    """The plan with a tile that is smaller than another of its own and than the parent's."""
    ranked = [*timed.faster, *timed.originals, *timed.others]
    full = dict(zip(ranked, with_passed_sizes(calls, ranked), strict=False))
    areas = {config: _area(full.get(config, config)) for config in {*plan.kept, *ranked}}
    largest = max((areas[c] for c in timed.originals), default=0)

    def has_fallback(configs: Sequence[Config]) -> bool:
        sizes = {areas[config] for config in configs}
        return len(sizes) > 1 and min(sizes) < max(largest, *sizes)

    if has_fallback(plan.kept):
        return plan
    leaving = [c for c in plan.kept if c != best and c not in timed.originals]
    no_room = rules.count_max is not None and len(plan.kept) >= rules.count_max
    staying = [c for c in plan.kept if not no_room or c not in leaving[-1:]]
    known = {choice.config for choice in plan.choices} - set(plan.kept)
    added = next((c for c in ranked if c in known and has_fallback([*staying, c])), None)
    if added is None or (no_room and not leaving):
        # A launch of one config is no list, of which the rules ask for nothing.
        untuned = calls.source.autotune is None
        own = [choice.config for choice in plan.choices if not choice.proposed]
        return _only(plan, [best] if untuned else own, NO_FALLBACK)
    choices = tuple(
        replace(c, kept=True, reason=FALLBACK, fate=None) if c.config == added else c
        for c in plan.choices
    )
    return _only(replace(plan, choices=choices), [*staying, added], f"gives its place: {FALLBACK}")


def _area(config: Config) -> int:
    return prod(value for _, value in config.meta if isinstance(value, int))


def _options(config: Config) -> tuple[int, int]:
    return config.num_warps, config.num_stages


def _varies_both(configs: Sequence[Config]) -> bool:
    tiles = {config.meta for config in configs}
    return len(tiles) > 1 and len({_options(config) for config in configs}) > 1


def _only(plan: ConfigPlan, kept: Sequence[Config], reason: str) -> ConfigPlan:
    """The plan with these configs alone; `reason` is told of the others that stood in it."""
    choices = tuple(
        replace(
            choice,
            kept=False,
            reason=reason,
            fate=choice.fate if choice.proposed else Fate.SLOWER,
        )
        if choice.kept and choice.config not in kept
        else choice
        for choice in plan.choices
    )
    return replace(plan, choices=choices)
