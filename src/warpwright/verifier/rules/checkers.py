"""The registry of rule checkers, and the run over all rules of a stage."""

from __future__ import annotations

from collections.abc import Mapping

from warpwright.data.rules import CheckedBy, rule_definitions
from warpwright.types.stage import Rule
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules import (
    blocks,
    conditional_blocks,
    conditional_code,
    conditional_options,
    fusion,
    grid,
    listed_configs,
    warps_stages,
)
from warpwright.verifier.rules.autotune import check_autotune_safe, check_launches
from warpwright.verifier.rules.finding import Checker, RuleFinding, RuleReading, merged
from warpwright.verifier.rules.rule_context import RuleContext
from warpwright.verifier.rules.semantics import lost_work

CHECKERS: Mapping[str, Checker] = {
    "access.only_if": conditional_code.check_access_only_if,
    "autotune.blocks_or_launch": blocks.check_blocks_or_launch,
    "autotune.on_kernel": blocks.check_on_kernel,
    "block_sizes.defined_once": blocks.check_defined_once,
    "block_sizes.domain": blocks.check_domain,
    "block_sizes.frozen": blocks.check_frozen,
    "block_sizes.halve_if": conditional_blocks.check_halve_if,
    "block_sizes.keep_baseline": blocks.check_keep_baseline,
    "block_sizes.multiple": blocks.check_multiple,
    "block_sizes.not_oversized": conditional_blocks.check_not_oversized,
    "block_sizes.only_if": conditional_blocks.check_blocks_only_if,
    "block_sizes.power_of_two": blocks.check_power_of_two,
    "configs.count": listed_configs.check_count,
    "configs.cover_conditions": conditional_options.check_cover_conditions,
    "configs.include": listed_configs.check_include,
    "configs.keep_original": listed_configs.check_keep_original,
    "configs.nearby": warps_stages.check_nearby,
    "configs.smaller_fallback": blocks.check_smaller_fallback,
    "eviction_policy.only_if": conditional_code.check_eviction_only_if,
    "fusion.same_mask": fusion.check_same_mask,
    "fusion.same_offsets": fusion.check_same_offsets,
    "grid.frozen": grid.check_frozen,
    "grid.matches_program_ids": grid.check_matches_program_ids,
    "grid.max_dims": grid.check_max_dims,
    "grid.meta_lambda": grid.check_meta_lambda,
    "grid.only_if": conditional_code.check_grid_only_if,
    "grid.static_rank": grid.check_static_rank,
    "grid.variants": blocks.check_grid_variants,
    "num_stages.domain": warps_stages.check_num_stages_domain,
    "num_stages.increase_only_if": conditional_options.check_increase_only_if,
    "num_stages.step": warps_stages.check_step,
    "num_stages.when": conditional_options.check_when,
    "num_warps.domain": warps_stages.check_num_warps_domain,
    "num_warps.only_if": conditional_options.check_num_warps_only_if,
    "num_warps.when": conditional_options.check_when,
    "stores.no_intermediate": fusion.check_no_intermediate,
    "stores.no_store_then_load": fusion.check_no_store_then_load,
    "stores.one_per_output": fusion.check_one_store,
}
"""Rule id → checker. A rule without one is listed as unchecked, with its text."""

DECIDED_BY_ACCURACY = frozenset({"grid.covers_output", "stores.no_overlap"})
"""Rules whose breach is a wrong output: comparing outputs decides them."""


def check_rules(context: RuleContext) -> CheckResult:
    """Every rule of the stage, and what every stage asks for.

    A rule that could not be decided makes the check "not verified", never a pass. Rules that
    no checker covers are listed in `unchecked` and change nothing; so are rules that ask for
    nothing (advice), which are left out.
    """
    reading = RuleReading.of(context)
    return check_reading(reading, lost_work(reading))


def check_reading(reading: RuleReading, lost: Mapping[str, RuleFinding]) -> CheckResult:
    """The same where both programs were read and their kernels' work compared before."""
    findings = []
    unchecked = []
    notes = []
    for rule in reading.context.stage.rules:
        kind = _checked_by(rule)
        checker = CHECKERS.get(rule.id)
        if checker is not None:
            findings.append(checker(rule, reading))
        elif kind is CheckedBy.MEASUREMENT:
            notes.append(f"{rule.id}: decided by measurement")
        elif rule.id in DECIDED_BY_ACCURACY:
            notes.append(f"{rule.id}: decided by comparing outputs")
        elif kind is not CheckedBy.ADVICE:
            unchecked.append(_text(rule))
    findings += [*lost.values(), check_autotune_safe(reading), check_launches(reading)]
    findings.append(
        RuleFinding(
            notes=tuple(n for c in (*reading.configs, *reading.new_configs) for n in c.notes)
        )
    )
    total = merged(findings)
    return CheckResult(
        "rules",
        _status(total),
        tuple(dict.fromkeys(total.violations)),
        tuple(
            dict.fromkeys([*notes, *total.notes, *(f"not verified: {u}" for u in total.undecided)])
        ),
        tuple(dict.fromkeys(unchecked)),
    )


def _status(finding: RuleFinding) -> Status:
    if finding.violations:
        return Status.FAIL
    return Status.NOT_VERIFIED if finding.undecided else Status.PASS


def _checked_by(rule: Rule) -> CheckedBy | None:
    definition = rule_definitions().get(rule.id)
    return None if definition is None else definition.checked


def _text(rule: Rule) -> str:
    """The rule's own wording, or its id and parameters where it has none."""
    stated = rule.text or str(rule.parameters.get("text") or "")
    if stated:
        return stated
    parameters = ", ".join(f"{name}={value}" for name, value in rule.parameters.items())
    return f"{rule.id} {{{parameters}}}" if parameters else rule.id
