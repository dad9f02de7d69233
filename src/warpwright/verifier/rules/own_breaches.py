"""Rules that a program breaks by itself, before anybody changes it.

Checkers compare a candidate with its parent, and let what the parent has already stay. Here the
program is read as a candidate of a parent that has its kernels but none of its configs, so nothing
is excused; only rules whose words compare with no parent are asked.
"""

from __future__ import annotations

from dataclasses import replace

from warpwright.types.gpu import GpuSheet
from warpwright.types.program import Kernel, ProgramView
from warpwright.types.stage import Stage
from warpwright.types.verdict import Violation
from warpwright.verifier.rules.checkers import CHECKERS
from warpwright.verifier.rules.finding import RuleReading, merged
from warpwright.verifier.rules.rule_context import RuleContext

WITHOUT_PARENT = frozenset(
    {
        "block_sizes.defined_once",
        "block_sizes.domain",
        "block_sizes.multiple",
        "block_sizes.power_of_two",
        "configs.count",
        "fusion.same_mask",
        "fusion.same_offsets",
        "grid.matches_program_ids",
        "grid.max_dims",
        "grid.meta_lambda",
        "grid.static_rank",
        "num_stages.domain",
        "num_warps.domain",
        "stores.no_store_then_load",
        "stores.one_per_output",
    }
)
"""Rules that one program alone obeys or breaks."""


def own_breaches(view: ProgramView, stage: Stage, sheet: GpuSheet) -> tuple[Violation, ...]:
    """What a program breaks of a stage's rules as it stands, by its text alone.

    A list of configs that code builds cannot be read, and is not judged.
    """
    bare = replace(view, kernels=tuple(map(_without_configs, view.kernels)))
    reading = RuleReading.of(RuleContext(stage, parent=bare, child=view, sheet=sheet))
    asked = [rule for rule in stage.rules if rule.id in WITHOUT_PARENT]
    found = merged(CHECKERS[rule.id](rule, reading) for rule in asked)
    return tuple(dict.fromkeys(found.violations))


def _without_configs(kernel: Kernel) -> Kernel:
    tune = kernel.autotune
    if tune is None or tune.configs is None:
        return kernel
    return replace(kernel, autotune=replace(tune, configs=()))
