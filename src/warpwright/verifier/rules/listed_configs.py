"""Rules on the list of configs: how many, which must stay, how far new ones may go."""

from __future__ import annotations

from collections.abc import Mapping

from warpwright.program.nodes import names_in
from warpwright.program.parsing import expression_of
from warpwright.types.config import MetaValue
from warpwright.types.stage import Rule
from warpwright.verifier.rules.config_evidence import child_evidence, is_active, parent_evidence
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.launch_configs import KernelConfigs, LaunchConfig


def limit(rule: Rule | None, name: str) -> int | None:
    """An integer parameter of a rule, or None."""
    value = rule.parameters.get(name) if rule is not None else None
    return int(value) if isinstance(value, (int, float)) else None


def undecidable(configs: KernelConfigs) -> str | None:
    """Why the config lists of a kernel cannot be compared, or None if they can."""
    if configs.candidates is None:
        return f"{configs.kernel}: its config list is built by code that reading does not run"
    if configs.originals is None:
        return f"{configs.kernel}: the parent's config list is built by code"
    return None


def check_count(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.count {min, max}`: as many configs as the request allows, for each kernel."""
    lists = (*reading.configs, *reading.new_configs)
    return merged(_count_of(rule, reading, configs) for configs in lists)


def _count_of(rule: Rule, reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    lowest, highest = limit(rule, "min"), limit(rule, "max")
    if not configs.child_autotuned or configs.unchanged:
        return _told_if_outside(configs, lowest, highest)
    reason = undecidable(configs)
    if reason is not None:
        return RuleFinding(undecided=(f"{rule.id}: {reason}",))
    candidates = configs.candidates or ()
    expected = _span(lowest, highest)
    if highest is not None and len(candidates) > highest:
        return violated(rule.id, configs.line, expected, f"{len(candidates)} configs")
    distinct = len(set(candidates))
    if lowest is not None and distinct < lowest:
        if configs.kernel in reading.context.exhausted:
            note = (
                f"{configs.kernel}: {distinct} configs where {expected} are asked for: no other "
                "distinct config obeys the request's rules and can be launched"
            )
            return RuleFinding(notes=(note,))
        if _keeps_all_there_are(reading, configs):
            note = (
                f"{configs.kernel}: {distinct} configs where {expected} are asked for: every "
                "distinct original that can be launched is kept, and nothing was added"
            )
            return RuleFinding(notes=(note,))
        found = f"{distinct} distinct configs" if distinct < len(candidates) else f"{distinct}"
        return violated(rule.id, configs.line, expected, found)
    return OBEYED


def _span(lowest: int | None, highest: int | None) -> str:
    if lowest is None:
        return f"at most {highest} configs"
    if highest is None:
        return f"at least {lowest} configs"
    return f"{lowest} to {highest} configs"


def _told_if_outside(
    configs: KernelConfigs, lowest: int | None, highest: int | None
) -> RuleFinding:
    """An untouched list is the parent's own: told where it is outside, never blamed."""
    count = len(configs.candidates or ())
    outside = (highest is not None and count > highest) or (lowest is not None and count < lowest)
    if not configs.child_autotuned or not outside:
        return OBEYED
    note = f"{configs.kernel}: keeps the parent's {count} configs; {_span(lowest, highest)} asked"
    return RuleFinding(notes=(note,))


def _keeps_all_there_are(reading: RuleReading, configs: KernelConfigs) -> bool:
    """Only originals are listed, and every class of launchable originals among them."""
    if configs.added or not configs.parent_autotuned:
        return False
    classes = original_classes(reading, configs)
    kept = set(configs.candidates or ())
    return all(kept & set(members) for members in classes)


def original_classes(
    reading: RuleReading, configs: KernelConfigs
) -> tuple[tuple[LaunchConfig, ...], ...]:
    """Originals in groups that launch the same binary; those that never launch left out.

    Where a compile report is missing, each config is a group of its own.
    """
    groups: dict[str, list[LaunchConfig]] = {}
    for config in dict.fromkeys(configs.originals or ()):
        evidence = parent_evidence(reading.context, configs, config)
        if evidence.why_never is not None:
            continue
        cubin = evidence.cubin
        groups.setdefault(cubin or f"config {config}", []).append(config)
    return tuple(tuple(members) for members in groups.values())


def fully_compiled(reading: RuleReading, configs: KernelConfigs) -> bool:
    """True when it is known of every original whether it compiles and launches."""
    return all(
        parent_evidence(reading.context, configs, config).is_known
        for config in configs.originals or ()
    )


def check_keep_original(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.keep_original`: no distinct original is lost, as far as the count allows."""
    findings = [_kept(rule, reading, configs) for configs in reading.configs]
    for kernel in reading.match.removed:
        if kernel.autotune is not None or any(
            site.kernel == kernel.name for site in reading.context.parent.launches
        ):
            expected = f"kernel {kernel.name} with its original config"
            findings.append(violated(rule.id, None, expected, "no such kernel"))
    return merged(findings)


def _kept(rule: Rule, reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    if configs.unchanged:
        return OBEYED
    reason = undecidable(configs)
    if reason is not None:
        return RuleFinding(undecided=(f"{rule.id}: {reason}",))
    classes = original_classes(reading, configs)
    lost = [members for members in classes if not _stays(reading, configs, members)]
    told = _never_launching_dropped(reading, configs)
    if not lost:
        return told
    unclear = [members for members in lost if _may_stay(configs, members)]
    if unclear:
        names = sorted({n for m in unclear for c in m for n in c.unknown} | _open_names(configs))
        why = f"{configs.kernel}: {', '.join(names)} is chosen by host code at run time"
        told += RuleFinding(undecided=(f"{rule.id}: {why}",))
        lost = [members for members in lost if members not in unclear]
    highest = limit(reading.context.stage.rule("configs.count"), "max")
    if highest is None or len(classes) <= highest:
        return told + merged(_lost(rule, configs, members) for members in lost)
    return told + _conflict(rule, reading, configs, classes, highest)


def _stays(reading: RuleReading, configs: KernelConfigs, members: tuple[LaunchConfig, ...]) -> bool:
    """One of the group is still listed, or a config that compiles to the same binary is."""
    candidates = configs.candidates or ()
    if set(members) & set(candidates):
        return True
    context = reading.context
    cubins = {parent_evidence(context, configs, config).cubin for config in members}
    found = {child_evidence(context, configs, config).cubin for config in candidates}
    return bool((cubins & found) - {None})


def _open_names(configs: KernelConfigs) -> set[str]:
    return {name for config in configs.candidates or () for name in config.unknown}


def _may_stay(configs: KernelConfigs, members: tuple[LaunchConfig, ...]) -> bool:
    """A listed config may be one of the group: it differs only in what reading cannot tell."""
    return any(
        may_be_equal(member, config)
        for member in members
        for config in configs.candidates or ()
        if member.unknown | config.unknown
    )


def may_be_equal(one: LaunchConfig, other: LaunchConfig) -> bool:
    """True unless something that is known of both differs."""
    unknown = one.unknown | other.unknown
    for option in ("num_warps", "num_stages", "num_ctas", "maxnreg"):
        if option not in unknown and getattr(one, option) != getattr(other, option):
            return False
    ours, theirs = dict(one.tile), dict(other.tile)
    return all(
        ours.get(name) == theirs.get(name)
        or (name in unknown and not _rewritten(ours, theirs, name))
        for name in ours.keys() | theirs.keys()
    )


def _rewritten(ours: Mapping[str, MetaValue], theirs: Mapping[str, MetaValue], name: str) -> bool:
    """Both values are expressions over the same names, and they differ: it was changed."""
    old, new = ours.get(name), theirs.get(name)
    if not isinstance(old, str) or not isinstance(new, str) or old == new:
        return False
    old_names, new_names = names_in(expression_of(old)), names_in(expression_of(new))
    return bool(old_names) and old_names == new_names


def _never_launching_dropped(reading: RuleReading, configs: KernelConfigs) -> RuleFinding:
    notes = []
    kept = set(configs.candidates or ())
    for config in configs.originals or ():
        why = parent_evidence(reading.context, configs, config).why_never
        if why is not None and config not in kept:
            notes.append(f"{configs.kernel}: original {config} need not stay: {why}")
    return RuleFinding(notes=tuple(notes))


def _lost(rule: Rule, configs: KernelConfigs, members: tuple[LaunchConfig, ...]) -> RuleFinding:
    also = f" (or one of {len(members)} with the same binary)" if len(members) > 1 else ""
    expected = f"original config {members[0]} of {configs.kernel} kept{also}"
    return violated(rule.id, configs.line, expected, "dropped")


def _conflict(
    rule: Rule,
    reading: RuleReading,
    configs: KernelConfigs,
    classes: tuple[tuple[LaunchConfig, ...], ...],
    highest: int,
) -> RuleFinding:
    """More distinct originals than the count allows: the active one stays, told as a note."""
    known = fully_compiled(reading, configs)
    what = "distinct originals" if known else "originals"
    conflict = (
        f"{configs.kernel}: the request asks to keep the original and allows {highest} configs, "
        f"but there are {len(classes)} {what}: the active one must stay, and as many others as fit"
    )
    total = RuleFinding(notes=(conflict,))
    kept = [members for members in classes if _stays(reading, configs, members)]
    if configs.parent_name not in reading.context.active:
        total += RuleFinding(
            undecided=(f"{rule.id}: {configs.kernel}: it is not known which config was active",)
        )
    else:
        needed = [
            members
            for members in classes
            if any(is_active(reading.context, configs, config) for config in members)
        ]
        lost = [members for members in needed if members not in kept]
        if lost and len([m for m in needed if m in kept]) < min(len(needed), highest):
            for members in lost:
                expected = f"active config {members[0]} of {configs.kernel} kept"
                total += violated(rule.id, configs.line, expected, "dropped")
    if known and len(kept) < highest:
        expected = f"{highest} of the {len(classes)} distinct originals kept"
        total += violated(rule.id, configs.line, expected, f"{len(kept)} kept")
    elif not known and len(kept) < highest:
        why = "without compile reports it is not known which originals are distinct"
        total += RuleFinding(undecided=(f"{rule.id}: {configs.kernel}: {why}",))
    return total


def check_include(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.include {num_warps, num_stages}`: the conservative config is in each new list."""
    wanted = {name: limit(rule, name) for name in ("num_warps", "num_stages")}
    text = ", ".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
    findings = []
    for configs in reading.configs:
        if not configs.child_autotuned or configs.unchanged:
            continue
        if configs.candidates is None:
            reason = undecidable(configs)
            findings.append(RuleFinding(undecided=(f"{rule.id}: {reason}",)))
            continue
        has_it = any(
            all(v is None or getattr(config, name) == v for name, v in wanted.items())
            for config in configs.candidates
        )
        if not has_it:
            found = "; ".join(
                f"num_warps={c.num_warps}, num_stages={c.num_stages}" for c in configs.candidates
            )
            findings.append(
                violated(rule.id, configs.line, f"a config of {configs.kernel} with {text}", found)
            )
    return merged(findings)
