"""Which of the configs that were measured to be faster may stand in one list together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.emit import with_passed_sizes
from warpwright.types.answer import ConfigPlan, Fate
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config

ONE_KIND = "the rules let a list vary tiles, or warps and stages: it is of the other kind"


def as_rules_allow(
    plan: ConfigPlan,
    calls: KernelCalls,
    faster: Sequence[Config],
    rules: TuningRules,
    alone: str | None,
) -> ConfigPlan:
    """The plan with as many of its configs as may stand together, the fastest among them.

    `faster`: the new configs that were measured to be faster, the fastest first. `alone`: why only
    one may stand.
    """
    best = next((config for config in faster if config in plan.kept), None)
    if alone is not None:
        kept = (
            [best] if best is not None else [c.config for c in plan.choices if not c.proposed][:1]
        )
        return _only(replace(plan, alone=alone), kept, f"only one config may stand: {alone}")
    if best is None or not rules.blocks_or_launch or _varies_both(calls.configs):
        return plan
    full = dict(zip(plan.kept, with_passed_sizes(calls, plan.kept), strict=False))
    if not _varies_both(list(full.values())):
        return plan
    options = _options(full[best])
    same_launch = [c for c in plan.kept if _options(full[c]) == options]
    same_tile = [c for c in plan.kept if full[c].meta == full[best].meta]
    return _only(plan, max(same_launch, same_tile, key=len), ONE_KIND)


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
