"""Rules on num_warps and num_stages. They bind what a candidate adds or changes.

A config that the parent has already is not blamed for being outside a domain: it is told as
a conflict between the request's rules and the request's own program.
"""

from __future__ import annotations

from collections.abc import Iterator

from warpwright.data.predicates import is_nearby
from warpwright.types.stage import Rule
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.launch_configs import KernelConfigs, LaunchConfig
from warpwright.verifier.rules.listed_configs import limit, undecidable


def each(
    rule: Rule, reading: RuleReading, *, new: bool = False
) -> Iterator[tuple[KernelConfigs, RuleFinding]]:
    """Kernels with their config lists; the finding says why one cannot be compared.

    `new`: the kernels that answer none of the parent's, instead of those that do.
    """
    for configs in reading.new_configs if new else reading.configs:
        reason = undecidable(configs)
        if reason is None or (configs.candidates is None and _same_text(reading, configs)):
            yield configs, OBEYED
        else:
            yield configs, RuleFinding(undecided=(f"{rule.id}: {reason}",))


def _same_text(reading: RuleReading, configs: KernelConfigs) -> bool:
    """An unreadable list that stands there word for word as in the parent."""
    old = reading.context.parent.kernel(configs.parent_name)
    new = reading.context.child.kernel(configs.kernel)
    if old is None or new is None or old.autotune is None or new.autotune is None:
        return False
    return old.autotune.configs_text == new.autotune.configs_text


def check_num_warps_domain(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_warps.domain {values}`."""
    return _domain(rule, reading, "num_warps")


def check_num_stages_domain(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_stages.domain {values}`."""
    return _domain(rule, reading, "num_stages")


def _domain(rule: Rule, reading: RuleReading, option: str) -> RuleFinding:
    lists = (*each(rule, reading), *each(rule, reading, new=True))
    return merged(_in_domain(rule, configs, option) + found for configs, found in lists)


def _in_domain(rule: Rule, configs: KernelConfigs, option: str) -> RuleFinding:
    values = rule.parameters.get("values")
    if not isinstance(values, tuple):
        return OBEYED
    expected = f"{option} in {{{', '.join(map(str, values))}}}"
    findings = []
    for config in configs.added:
        if option in config.unknown:
            why = f"{configs.kernel}: {option} is chosen by host code at run time"
            findings.append(RuleFinding(undecided=(f"{rule.id}: {why}",)))
        elif getattr(config, option) not in values:
            found = f"{configs.kernel}: {config}"
            findings.append(violated(rule.id, config.line, expected, found))
    old = [
        config
        for config in dict.fromkeys(configs.originals or ())
        if option not in config.unknown and getattr(config, option) not in values
    ]
    if old:
        listed = "; ".join(map(str, old))
        note = f"{configs.kernel}: originals outside {expected} may stay as they are: {listed}"
        findings.append(RuleFinding(notes=(note,)))
    return merged(findings)


def relatives(configs: KernelConfigs, config: LaunchConfig) -> list[LaunchConfig]:
    """Originals with the same meta-parameters as `config`."""
    return [original for original in configs.originals or () if original.tile == config.tile]


def compared_with(configs: KernelConfigs, config: LaunchConfig) -> list[LaunchConfig]:
    """What a new config is a change of: originals with its tile, else all of them."""
    return relatives(configs, config) or list(configs.originals or ())


def check_step(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`num_stages.step {max}`: within ±max of an original with the same meta-parameters."""
    step = limit(rule, "max") or 1
    return merged(_within(rule, configs, step) + f for configs, f in each(rule, reading))


def _within(rule: Rule, configs: KernelConfigs, step: int) -> RuleFinding:
    findings = []
    for config in configs.added:
        base = compared_with(configs, config)
        if any("num_stages" in c.unknown for c in (config, *base)):
            why = f"{configs.kernel}: num_stages is chosen by host code at run time"
            findings.append(RuleFinding(undecided=(f"{rule.id}: {why}",)))
            continue
        near = [c for c in base if abs(c.num_stages - config.num_stages) <= step]
        if base and not near:
            stages = sorted({c.num_stages for c in base})
            expected = f"num_stages within {step} of {' or '.join(map(str, stages))}"
            findings.append(violated(rule.id, config.line, expected, f"{configs.kernel}: {config}"))
    return merged(findings)


def check_nearby(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.nearby {axis}`: every new config is near an original (`data.predicates`)."""
    blocks = rule.parameters.get("axis") == "blocks"
    return merged(_nearby(rule, c, blocks) + f for c, f in each(rule, reading))


def _nearby(rule: Rule, configs: KernelConfigs, blocks: bool) -> RuleFinding:
    findings = []
    for config in configs.added:
        if config.unknown or any(c.unknown for c in configs.originals or ()):
            shared = _same_unknowns(configs, config)
            if not shared:
                why = f"{configs.kernel}: parts of its launch are chosen at run time"
                findings.append(RuleFinding(undecided=(f"{rule.id}: {why}",)))
                continue
        originals = [original.launched for original in configs.originals or ()]
        axis = "blocks" if blocks else None
        if not any(is_nearby(config.launched, original, axis=axis) for original in originals):
            expected = "a config near an original: " + (
                "each BLOCK size at most doubled or halved"
                if blocks
                else "the same tile, num_warps at most doubled or halved, num_stages by 1, no "
                "other maxnreg"
            )
            findings.append(violated(rule.id, config.line, expected, f"{configs.kernel}: {config}"))
    return merged(findings)


def _same_unknowns(configs: KernelConfigs, config: LaunchConfig) -> bool:
    """All that is unknown is a tile parameter that both sides compute."""
    sides = [config, *(configs.originals or ())]
    unknown = frozenset().union(*(c.unknown for c in sides))
    computed = all(unknown & dict(c.tile).keys() <= c.unknown for c in sides)
    return computed and not unknown & {"num_warps", "num_stages"}
