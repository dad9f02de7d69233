"""Rules with a condition: "only if occupancy suggests it", "above 128 registers", and the like.

The conditions are the predicates of `resources.predicates`. One that is false makes the edit a
violation; one that lacks a number leaves the rule undecided.
"""

from __future__ import annotations

from collections.abc import Callable

from warpwright.gate.configs import KernelConfigs, LaunchConfig
from warpwright.gate.kernels import KernelBody, read_body
from warpwright.gate.rules.blocks import area, concerns
from warpwright.gate.rules.configs import limit
from warpwright.gate.rules.evidence import (
    REGISTERS,
    SM_THROUGHPUT,
    WARPS_ACTIVE,
    child_evidence,
    is_active,
    metric,
    misses_target,
    parent_evidence,
    stall_pct,
)
from warpwright.gate.rules.finding import OBEYED, Finding, Reading, merged, violated
from warpwright.gate.rules.grid import grid_changes
from warpwright.gate.rules.warps_stages import each, relatives
from warpwright.resources.predicates import (
    LOW_OCCUPANCY_PCT,
    is_oversized,
    memory_stalls_are_high,
    occupancy_suggests_warps,
    registers_match,
    sm_utilization_is_clearly_low,
)
from warpwright.types.stage import Rule

_BINDING = ("use", "keep")


def either(answers: list[bool | None]) -> bool | None:
    """True if one is, None if one is unknown and none is true, else False."""
    if True in answers:
        return True
    return None if None in answers else False


def _undecided(rule: Rule, what: str) -> Finding:
    return Finding(undecided=(f"{rule.id}: {what}",))


def check_num_warps_only_if(rule: Rule, reading: Reading) -> Finding:
    """`num_warps.only_if {condition}`: a new num_warps for a tile needs the condition."""
    if rule.parameters.get("condition") == "benefit":
        return Finding(notes=(f"{rule.id}: decided by measurement",))
    return merged(_warps(rule, reading, c) + f for c, f in each(rule, reading))


def _warps(rule: Rule, reading: Reading, configs: KernelConfigs) -> Finding:
    findings = []
    for config in configs.added:
        bases = relatives(configs, config)
        if not bases or config.num_warps in {base.num_warps for base in bases}:
            continue
        if any("num_warps" in c.unknown for c in (config, *bases)):
            what = f"{configs.kernel}: num_warps is chosen by host code at run time"
            findings.append(_undecided(rule, what))
            continue
        answer = either([_suggested(reading, configs, base, config) for base in bases])
        if answer is None:
            what = (
                f"{configs.kernel}: it is not known whether occupancy suggests {config} "
                "(no measured or compiled occupancy of both configs)"
            )
            findings.append(_undecided(rule, what))
        elif not answer:
            warps = " or ".join(map(str, sorted({base.num_warps for base in bases})))
            expected = f"num_warps={warps}, since occupancy does not suggest a change"
            found = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, found))
    return merged(findings)


def _suggested(
    reading: Reading, configs: KernelConfigs, base: LaunchConfig, config: LaunchConfig
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


def check_when(rule: Rule, reading: Reading) -> Finding:
    """`num_warps.when`, `num_stages.when`: binding where the strength is use or keep.

    The condition is read off each new config's own compile report. Where another rule of the
    stage recommends what was found, and its condition holds too, the rules conflict: told.
    """
    if rule.parameters.get("strength") not in _BINDING:
        return OBEYED
    option = rule.id.split(".")[0]
    return merged(_when(rule, reading, c, option) + f for c, f in each(rule, reading))


def _when(rule: Rule, reading: Reading, configs: KernelConfigs, option: str) -> Finding:
    wanted = limit(rule, "value")
    findings = []
    for config in configs.added:
        found = getattr(config, option)
        if found == wanted or option in config.unknown:
            continue
        answer = _condition(rule, reading, configs, config)
        if answer is None:
            what = f"{configs.kernel}: the registers of {config} are not known"
            findings.append(_undecided(rule, what))
        elif answer:
            other = _recommended_by(rule, reading, configs, config, found)
            if other is not None:
                note = f"{configs.kernel}: {config}: the request both asks for {option}={wanted} "
                findings.append(Finding(notes=(f"{note}and for {option}={found} ({other})",)))
                continue
            expected = f"{option}={wanted} ({rule.text or 'as its registers ask for'})"
            text = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, text))
    return merged(findings)


def _condition(
    rule: Rule, reading: Reading, configs: KernelConfigs, config: LaunchConfig
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
    rule: Rule, reading: Reading, configs: KernelConfigs, config: LaunchConfig, found: int
) -> str | None:
    for other in reading.context.stage.rules:
        recommends = other.id == rule.id and other is not rule and limit(other, "value") == found
        if recommends and _condition(other, reading, configs, config):
            return other.text or str(dict(other.parameters))
    return None


def check_increase_only_if(rule: Rule, reading: Reading) -> Finding:
    """`num_stages.increase_only_if {condition}`: more stages need high memory stalls."""
    return merged(_more_stages(rule, reading, c) + f for c, f in each(rule, reading))


def _more_stages(rule: Rule, reading: Reading, configs: KernelConfigs) -> Finding:
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
            findings.append(_undecided(rule, what))
        elif not answer:
            expected = "no more stages, since memory stalls are not high"
            found = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, found))
    return merged(findings)


def check_grid_only_if(rule: Rule, reading: Reading) -> Finding:
    """`grid.only_if`: a grid changes only where SM utilisation is clearly low."""
    changes = grid_changes(reading)
    if not changes:
        return OBEYED
    values = [metric(reading.context, c, SM_THROUGHPUT) for c in reading.configs]
    answer = either([sm_utilization_is_clearly_low(value) for value in values])
    if answer:
        return OBEYED
    if answer is None:
        return _undecided(rule, "the profile has no sm__throughput to justify another grid")
    known = ", ".join(f"{value:g} %" for value in values if value is not None)
    findings = []
    for change in changes:
        if not isinstance(change, str):
            expected = f"the grid as it was, since sm__throughput is {known}"
            findings.append(violated(rule.id, change.line, expected, change.found))
    return merged(findings)


def check_blocks_only_if(rule: Rule, reading: Reading) -> Finding:
    """`block_sizes.only_if {condition, names}`: a new tile needs a metric that asks for it."""
    return merged(_tiles(rule, reading, c) + f for c, f in each(rule, reading))


def _tiles(rule: Rule, reading: Reading, configs: KernelConfigs) -> Finding:
    added = [c for c in configs.added if _new_tile(configs, c, rule.parameters.get("names"))]
    if not added:
        return OBEYED
    answers = [misses_target(reading.context, configs)]
    if rule.parameters.get("condition") == "occupancy or reuse":
        active = metric(reading.context, configs, WARPS_ACTIVE)
        answers.append(None if active is None else active < LOW_OCCUPANCY_PCT)
    known = [answer for answer in answers if answer is not None]
    if not known:
        return _undecided(rule, f"{configs.kernel}: the profile has no metric to justify a tile")
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


def check_not_oversized(rule: Rule, reading: Reading) -> Finding:
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
                findings.append(_undecided(rule, f"{configs.kernel}: {config} is not compiled"))
    return merged(findings)


def check_halve_if(rule: Rule, reading: Reading) -> Finding:
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
                findings.append(_undecided(rule, what))
            elif registers > most and not any((area(c) or size) < size for c in configs.candidates):
                expected = f"a smaller tile, since {original} takes {registers:g} registers"
                findings.append(violated(rule.id, configs.line, expected, "none"))
    return merged(findings)


def check_access_only_if(rule: Rule, reading: Reading) -> Finding:
    """`access.only_if`: addresses change only where a metric of the stage misses its target."""
    return _body_change(rule, reading, _addresses, "addresses of loads and stores")


def check_eviction_only_if(rule: Rule, reading: Reading) -> Finding:
    """`eviction_policy.only_if`: a policy is added only where a metric misses its target."""
    return _body_change(rule, reading, _policies, "eviction policies")


def _body_change(
    rule: Rule,
    reading: Reading,
    read: Callable[[Reading, str, bool], frozenset[str]],
    what: str,
) -> Finding:
    findings = []
    for pair, configs in zip(reading.match.pairs, reading.configs, strict=True):
        before = read(reading, pair.parent.name, True)
        after = read(reading, pair.child.name, False)
        if after <= before:
            continue
        answer = misses_target(reading.context, configs)
        if answer is None:
            text = f"{pair.child.name}: the profile has no metric to justify other {what}"
            findings.append(_undecided(rule, text))
        elif not answer:
            expected = f"the {what} as they were, since the metrics meet their targets"
            found = next(iter(sorted(after - before)))[:120]
            findings.append(violated(rule.id, pair.child.line, expected, found))
    return merged(findings)


def _body(reading: Reading, kernel: str, of_parent: bool) -> KernelBody:
    view = reading.context.parent if of_parent else reading.context.child
    return read_body(view.source, kernel)


def _addresses(reading: Reading, kernel: str, of_parent: bool) -> frozenset[str]:
    return frozenset(access.address for access in _body(reading, kernel, of_parent).accesses)


def _policies(reading: Reading, kernel: str, of_parent: bool) -> frozenset[str]:
    view = reading.context.parent if of_parent else reading.context.child
    found = view.kernel(kernel)
    return frozenset(
        f"{operation.name}(eviction_policy={operation.keywords['eviction_policy']})"
        for operation in (found.operations if found is not None else ())
        if "eviction_policy" in operation.keywords
    )


def check_cover_conditions(rule: Rule, reading: Reading) -> Finding:
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
