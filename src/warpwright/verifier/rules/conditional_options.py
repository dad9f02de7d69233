"""num_warps and num_stages under conditions: "only if occupancy suggests it", "above 128".

The conditions are the predicates of `data.predicates`. One that is false makes the edit a
violation; one that lacks a number leaves the rule undecided.
"""

from __future__ import annotations

from warpwright.data.predicates import (
    either,
    memory_stalls_are_high,
    occupancy_suggests_warps,
    registers_match,
)
from warpwright.program.memory_accesses import read_body
from warpwright.types.stage import Rule
from warpwright.verifier.rules.config_evidence import (
    WARPS_ACTIVE,
    child_evidence,
    is_active,
    metric,
    parent_evidence,
    stall_pct,
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
from warpwright.verifier.rules.warps_stages import each, relatives

_BINDING = ("use", "keep")


def check_num_warps_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_warps.only_if {condition}`: a new num_warps for a tile needs the condition."""
    if rule.parameters.get("condition") == "benefit":
        return RuleFinding(notes=(f"{rule.id}: decided by measurement",))
    return merged(_warps(rule, reading, c) + f for c, f in each(rule, reading))


def _warps(rule: Rule, reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    findings = []
    for config in configs.added:
        bases = relatives(configs, config)
        if not bases or config.num_warps in {base.num_warps for base in bases}:
            continue
        if any("num_warps" in c.unknown for c in (config, *bases)):
            what = f"{configs.kernel}: num_warps is chosen by host code at run time"
            findings.append(undecided(rule.id, what))
            continue
        answer = either([_suggested(reading, configs, base, config) for base in bases])
        if answer is None:
            what = (
                f"{configs.kernel}: it is not known whether occupancy suggests {config} "
                "(no measured or compiled occupancy of both configs)"
            )
            findings.append(undecided(rule.id, what))
        elif not answer:
            warps = " or ".join(map(str, sorted({base.num_warps for base in bases})))
            expected = f"num_warps={warps}, since occupancy does not suggest a change"
            found = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, found))
    return merged(findings)


def _suggested(
    reading: RuleReading, configs: KernelConfigs, base: LaunchConfig, config: LaunchConfig
) -> bool | None:
    context = reading.context
    before = parent_evidence(context, configs, base)
    after = child_evidence(context, configs, config)
    spills = [before.spill_bytes, after.spill_bytes]
    # The profile speaks of the config that was active, or of some unknown one.
    measured = is_active(context, configs, base) is not False
    return occupancy_suggests_warps(
        warps_active_pct=metric(context, configs, WARPS_ACTIVE) if measured else None,
        occupancy_pct=before.occupancy_pct,
        changed_launches=after.why_never is None,
        changed_spills_more=None not in spills and (spills[1] or 0) > (spills[0] or 0),
        changed_occupancy_pct=after.occupancy_pct,
    )


def check_when(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_warps.when`, `num_stages.when`: binding where the strength is use or keep.

    The condition is read off each new config's own compile report. Where another rule of the
    stage recommends what was found, and its condition holds too, the rules conflict: told.
    """
    if rule.parameters.get("strength") not in _BINDING:
        return OBEYED
    option = rule.id.split(".")[0]
    return merged(_when(rule, reading, c, option) + f for c, f in each(rule, reading))


def _when(rule: Rule, reading: RuleReading, configs: KernelConfigs, option: str) -> RuleFinding:
    wanted = limit(rule, "value")
    findings = []
    for config in configs.added:
        found = getattr(config, option)
        if found == wanted or option in config.unknown:
            continue
        answer = _condition(rule, reading, configs, config)
        if answer is None:
            what = f"{configs.kernel}: the registers of {config} are not known"
            findings.append(undecided(rule.id, what))
        elif answer:
            other = _recommended_by(rule, reading, configs, config, found)
            if other is not None:
                note = f"{configs.kernel}: {config}: the request both asks for {option}={wanted} "
                findings.append(RuleFinding(notes=(f"{note}and for {option}={found} ({other})",)))
                continue
            expected = f"{option}={wanted} ({rule.text or 'as its registers ask for'})"
            text = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, text))
    return merged(findings)


def _condition(
    rule: Rule, reading: RuleReading, configs: KernelConfigs, config: LaunchConfig
) -> bool | None:
    evidence = child_evidence(reading.context, configs, config)
    occupancy = evidence.occupancy
    answers = [
        registers_match(
            registers_per_thread=evidence.registers_per_thread,
            spill_bytes=evidence.spill_bytes,
            limiters=None if occupancy is None else occupancy.limiters,
            registers_below=limit(rule, "registers_below"),
            registers_above=limit(rule, "registers_above"),
            no_spill=bool(rule.parameters.get("no_spill")),
            register_limited=bool(rule.parameters.get("register_limited")),
        )
    ]
    least = limit(rule, "loads_at_least")
    if least is not None:
        body = read_body(reading.context.child.source, configs.kernel)
        answers.append(len(body.pointers("load")) >= least)
    if False in answers:
        return False
    return None if None in answers else True


def _recommended_by(
    rule: Rule, reading: RuleReading, configs: KernelConfigs, config: LaunchConfig, found: int
) -> str | None:
    for other in reading.context.stage.rules:
        recommends = other.id == rule.id and other is not rule and limit(other, "value") == found
        if recommends and _condition(other, reading, configs, config):
            return other.text or str(dict(other.parameters))
    return None


def check_increase_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_stages.increase_only_if {condition}`: more stages need high memory stalls."""
    return merged(_more_stages(rule, reading, c) + f for c, f in each(rule, reading))


def _more_stages(rule: Rule, reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    findings = []
    for config in configs.added:
        bases = relatives(configs, config) or list(configs.originals or ())
        if "num_stages" in config.unknown or not bases:
            continue
        if config.num_stages <= max(base.num_stages for base in bases):
            continue
        answer = memory_stalls_are_high(stall_pct(reading.context, configs))
        evidence = child_evidence(reading.context, configs, config)
        if rule.parameters.get("condition") == "memory stalls and registers" and answer:
            spills = evidence.spill_bytes
            answer = None if spills is None else spills == 0
        if answer is None:
            what = f"{configs.kernel}: the profile has no memory stalls to justify {config}"
            findings.append(undecided(rule.id, what))
        elif not answer:
            expected = "no more stages, since memory stalls are not high"
            found = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, found))
    return merged(findings)


def check_cover_conditions(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.cover_conditions`: each value that a condition recommends is in a changed list."""
    findings = []
    for configs in reading.configs:
        if not configs.child_autotuned or configs.unchanged or not configs.candidates:
            continue
        for option in ("num_warps", "num_stages"):
            wanted = {
                limit(other, "value")
                for other in reading.context.stage.rules
                if other.id == f"{option}.when"
            }
            missing = wanted - {getattr(config, option) for config in configs.candidates}
            if missing:
                expected = (
                    f"a config of {configs.kernel} with {option}={sorted(map(str, missing))[0]}"
                )
                findings.append(violated(rule.id, configs.line, expected, "none"))
    return merged(findings)
