"""Tiles with a condition: a new one only where a metric asks for it, or where registers do.

Predicates and outcomes as in `conditional_options`.
"""

from __future__ import annotations

from warpwright.data.predicates import LOW_OCCUPANCY_PCT, is_oversized
from warpwright.types.stage import Rule
from warpwright.verifier.rules.blocks import area, concerns
from warpwright.verifier.rules.config_evidence import (
    REGISTERS,
    WARPS_ACTIVE,
    child_evidence,
    is_active,
    metric,
    misses_target,
    parent_evidence,
)
from warpwright.verifier.rules.finding import (
    OBEYED,
    RuleFinding,
    RuleReading,
    merged,
    undecided,
    violated,
)
from warpwright.verifier.rules.launch_configs import KernelConfigs, LaunchConfig
from warpwright.verifier.rules.listed_configs import limit
from warpwright.verifier.rules.warps_stages import each


def check_blocks_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.only_if {condition, names}`: a new tile needs a metric that asks for it."""
    return merged(_tiles(rule, reading, c) + f for c, f in each(rule, reading))


def _tiles(rule: Rule, reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    added = [c for c in configs.added if _new_tile(configs, c, rule.parameters.get("names"))]
    if not added:
        return OBEYED
    answers = [misses_target(reading.context, configs)]
    if rule.parameters.get("condition") == "occupancy or reuse":
        active = metric(reading.context, configs, WARPS_ACTIVE)
        answers.append(None if active is None else active < LOW_OCCUPANCY_PCT)
    known = [answer for answer in answers if answer is not None]
    if not known:
        return undecided(rule.id, f"{configs.kernel}: the profile has no metric to justify a tile")
    if any(known):
        return OBEYED
    expected = "an original tile, since no metric of the stage asks for another"
    return merged(violated(rule.id, c.line, expected, f"{configs.kernel}: {c}") for c in added)


def _new_tile(configs: KernelConfigs, config: LaunchConfig, names: object) -> bool:
    """The tile differs from every original's in a block size that the rule is about."""
    ours = {name: value for name, value in config.tile if concerns(names, name)}
    return bool(ours) and all(
        {name: value for name, value in original.tile if concerns(names, name)} != ours
        for original in configs.originals or ()
    )


def check_not_oversized(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.not_oversized`: a new tile does not spill. Masked parts need shapes."""
    findings = []
    for configs, told in each(rule, reading):
        findings.append(told)
        for config in (c for c in configs.added if _new_tile(configs, c, None)):
            spills = child_evidence(reading.context, configs, config).spill_bytes
            answer = is_oversized({}, {}, spill_bytes=spills)
            if answer:
                expected = "a tile that keeps its values in registers"
                found = f"{configs.kernel}: {config} spills {spills} bytes a thread"
                findings.append(violated(rule.id, config.line, expected, found))
            elif answer is None:
                findings.append(undecided(rule.id, f"{configs.kernel}: {config} is not compiled"))
    return merged(findings)


def check_halve_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.halve_if {registers_above}`: a changed list then has a smaller tile."""
    most = limit(rule, "registers_above")
    findings = []
    for configs, told in each(rule, reading):
        findings.append(told)
        if configs.unchanged or most is None or not configs.candidates:
            continue
        for original in configs.originals or ():
            if is_active(reading.context, configs, original) is False:
                continue
            registers = metric(reading.context, configs, REGISTERS)
            if registers is None:
                registers = parent_evidence(reading.context, configs, original).registers_per_thread
            size = area(original)
            if registers is None or size is None:
                what = f"{configs.kernel}: the registers of {original} are not known"
                findings.append(undecided(rule.id, what))
            elif registers > most and not any((area(c) or size) < size for c in configs.candidates):
                expected = f"a smaller tile, since {original} takes {registers:g} registers"
                findings.append(violated(rule.id, configs.line, expected, "none"))
    return merged(findings)
