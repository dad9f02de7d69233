"""The tuning proposer: which configs a kernel's autotuner should try, within the rules.

Without a GPU nothing here claims speed. What it can show from compile reports: which configs
are one and the same binary, which can never launch, which new ones differ from all of them and
use the machine no worse. The tuner on the user's card makes the choice; every distinct original
stays in its list, so it can still choose what it chose before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from warpwright.diagnosis.causes import cause_for
from warpwright.proposers.asked import asked_twin, in_its_twins_place
from warpwright.proposers.steps import moves_between, steps_around
from warpwright.proposers.tuning_rules import TuningRules, asked_for
from warpwright.resources.predicates import LOW_OCCUPANCY_PCT, occupancy_suggests_warps
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.compiled import Compiled, CompileFailed
from warpwright.types.config import Config
from warpwright.types.study import Activity, Cause, ConfigStudy, KernelStudy

LEAST_LOOKED_AT = 2


def neighbours(kernel: KernelStudy, rules: TuningRules) -> tuple[Config, ...]:
    """New configs near those that may be active: one step in stages, or a factor 2 in warps.

    Order: what the rules ask for by name; then by the highest cause that speaks for the step;
    steps that no cause speaks for last, stages before warps. Around the first possible active
    config first. A step that a cause rules out is not made: where nothing is pipelined,
    num_stages is left alone.
    """
    bases = [study.config for study in _bases(kernel, rules)]
    known = {study.config for study in kernel.configs}
    found: dict[Config, None] = {}
    for include in rules.include:
        for base in _asked_around(kernel, bases, rules):
            found[replace(base, num_warps=include.num_warps, num_stages=include.num_stages)] = None
    for config in steps_around(kernel, bases, rules.stage_step, rules.warps):
        found[config] = None
    new = [c for c in found if c not in known and rules.in_domain(c)]
    return tuple(new if rules.count_max is None else new[: worth_compiling(kernel, rules)])


def _asked_around(
    kernel: KernelStudy, bases: Sequence[Config], rules: TuningRules
) -> tuple[Config, ...]:
    """Tiles on which to look at what the rules ask for by name: one of them is enough.

    Those that may be active, and the smallest original that can run: a large tile may spill with
    few warps.
    """
    able = [study for study in _representatives(kernel, rules) if study.launchable]
    small = min(able, key=lambda study: _area(study.config), default=None)
    return (*bases, *(() if small is None else (small.config,)))


def _area(config: Config) -> int:
    """Product of the whole meta-parameters: how large a tile is beside others of its kernel."""
    return prod(value for _, value in config.meta if isinstance(value, int))


def led_by(kernel: KernelStudy, config: Config) -> Cause | None:
    """The highest cause that speaks for the one step from an original to a proposed config.

    Only steps from what may be the active config count, where that is known; None without any.
    """
    bases = [c.config for c in kernel.active or kernel.configs if c.config.meta == config.meta]
    steps = [moves for base in bases if len(moves := moves_between(base, config)) == 1]
    found = [cause_for(kernel.causes, move) for (move,) in steps]
    return max((c for c in found if c is not None), key=lambda c: c.score, default=None)


def worth_compiling(kernel: KernelStudy, rules: TuningRules) -> int:
    """How many new configs to look at: about twice as many as there is room for."""
    assert rules.count_max is not None
    room = rules.count_max - len(_representatives(kernel, rules))
    return max(LEAST_LOOKED_AT, 2 * room)


def _bases(kernel: KernelStudy, rules: TuningRules) -> tuple[ConfigStudy, ...]:
    """What to look around: what represents the possible active configs, one per binary.

    Not those that could not be compiled here for want of time: their neighbours take as long.
    """
    candidates = kernel.active or tuple(c for c in kernel.configs if c.launchable)
    wanted = {study.identity or study.config for study in candidates}
    return tuple(
        study
        for study in _representatives(kernel, rules)
        if (study.identity or study.config) in wanted and (study.launchable or study.ruled_out)
    )


def choose(
    kernel: KernelStudy,
    candidates: Sequence[ConfigStudy],
    rules: TuningRules,
    *,
    measured_warps_active_pct: float | None = None,
    dropped: Mapping[Config, str] | None = None,
) -> ConfigPlan:
    """Choose the config list: distinct launchable originals, then the best candidates.

    `measured_warps_active_pct` is the profile's warps active (0..100), None if not taken.
    `dropped`: originals that do not stay, each with the reason.
    """
    originals = [
        replace(choice, kept=False, reason=(dropped or {})[choice.config])
        if choice.kept and choice.config in (dropped or {})
        else choice
        for choice in _judge_originals(kernel, rules)
    ]
    conflicts = _domain_conflicts(kernel, originals, rules)
    asked = [
        study
        for study in candidates
        if asked_for(study.config, rules)
        and refusal(study, _base_of(kernel, study.config), rules, measured_warps_active_pct) is None
    ]
    twin = asked_twin(originals, asked)
    reserved = 0 if twin is not None else min(len(asked), 1)
    originals, unfit = _fit(kernel, originals, rules, reserved, twin)
    conflicts += unfit
    room = None if rules.count_max is None else rules.count_max - sum(c.kept for c in originals)
    proposed = _judge_candidates(
        kernel, candidates, originals, rules, room, measured_warps_active_pct
    )
    choices = [*originals, *proposed]
    if twin is not None and any(c.kept == c.proposed for c in choices if c.study is not twin):
        choices = in_its_twins_place(choices, twin)
    plan = ConfigPlan(kernel.kernel, tuple(choices), tuple(conflicts))
    if rules.count_min is not None and len(plan.kept) < rules.count_min:
        conflicts.append(
            f"the request asks for at least {rules.count_min} configs; only {len(plan.kept)} "
            "distinct ones exist within its other rules"
        )
    return replace(plan, conflicts=tuple(conflicts))


def _judge_originals(kernel: KernelStudy, rules: TuningRules) -> list[ConfigChoice]:
    """Keep one original per binary; drop what can never launch."""
    keepers = {id(study) for study in _representatives(kernel, rules)}
    choices = []
    for study in kernel.configs:
        active = study.activity is Activity.ACTIVE
        if study.ruled_out and not active:
            choices.append(ConfigChoice(study.config, False, False, never_runs(study), study))
        elif not study.launchable and not active:
            choices.append(ConfigChoice(study.config, False, True, _not_known(study), study))
        elif id(study) in keepers:
            reason = {
                Activity.ACTIVE: "original, active in the profile: always stays",
                Activity.POSSIBLE: "original, may be the active one: stays",
            }.get(study.activity, "original, a binary of its own: stays")
            choices.append(ConfigChoice(study.config, False, True, reason, study))
        else:
            twin = next(
                other.config
                for other in _representatives(kernel, rules)
                if other.identity == study.identity
            )
            reason = f"the same binary as {twin}: trying both costs time and changes nothing"
            choices.append(ConfigChoice(study.config, False, False, reason, study))
    return choices


def _not_known(study: ConfigStudy) -> str:
    failed = (v.result for v in study.compiled if isinstance(v.result, CompileFailed))
    reason = next((result.reason for result in failed), "it was not compiled")
    return f"original, not known to be impossible ({reason}): stays"


def never_runs(study: ConfigStudy) -> str:
    """Why a config can never run, with the number that rules it out."""
    for view in study.compiled:
        if view.unlaunchable:
            return f"can never run on the target: {view.unlaunchable[0]}"
        if not isinstance(view.result, Compiled):
            told = "does not compile for the target" if view.ruled_out else "could not be compiled"
            return f"{told}: {view.result.reason}"
    return "was not compiled"


def _representatives(kernel: KernelStudy, rules: TuningRules) -> tuple[ConfigStudy, ...]:
    """One config per binary: one that the rules ask for by name, one inside the stage's domains,
    or the first, whichever there is.

    A config known to be the active one represents its binary itself when nothing else does so
    from within the domains.
    """
    best: dict[object, ConfigStudy] = {}
    for study in kernel.configs:
        if study.ruled_out and study.activity is not Activity.ACTIVE:
            continue
        key = study.identity or study.config
        held = best.get(key)
        if held is None or _fitness(study, rules) > _fitness(held, rules):
            best[key] = study
    return tuple(best.values())


def _fitness(study: ConfigStudy, rules: TuningRules) -> tuple[bool, bool]:
    return asked_for(study.config, rules), rules.in_domain(study.config)


def _domain_conflicts(
    kernel: KernelStudy, choices: Sequence[ConfigChoice], rules: TuningRules
) -> list[str]:
    outside = [c.config for c in choices if c.kept and not rules.in_domain(c.config)]
    if not outside:
        return []
    listed = "; ".join(map(str, outside))
    return [
        f"{kernel.kernel}: the program's own {listed} lies outside the stage's domains; "
        + ("the rules ask to keep originals, so it stays " if rules.originals_stay else "it stays ")
        + "(domains bind what is added)"
    ]


def _fit(
    kernel: KernelStudy,
    choices: list[ConfigChoice],
    rules: TuningRules,
    reserved: int,
    twin: ConfigStudy | None,
) -> tuple[list[ConfigChoice], list[str]]:
    """Where more distinct originals exist than the rules allow, possible active ones go first.

    `reserved` places are kept for configs that the rules ask for by name; an original that is
    one, or is the binary of one (`twin`), has its place.
    """
    kept = sorted((c for c in choices if c.kept), key=lambda c: _rank(c.study))
    own = [
        choice
        for choice in kept
        if asked_for(choice.config, rules)
        or (
            twin is not None and choice.study is not None and choice.study.identity == twin.identity
        )
    ][:1]
    reserved = 0 if own else reserved
    if rules.count_max is None or len(kept) + reserved <= rules.count_max:
        return choices, []
    others = [choice for choice in kept if choice not in own]
    room = rules.count_max - len(own) - reserved
    stays = {id(choice) for choice in (*own, *others[:room])}
    fitted = [
        choice
        if not choice.kept or id(choice) in stays
        else replace(
            choice,
            kept=False,
            reason=f"distinct, but the request allows {rules.count_max} configs and others "
            "were more likely the active one",
        )
        for choice in choices
    ]
    keeping = "ask to keep the originals and " if rules.originals_stay else ""
    conflict = (
        f"{kernel.kernel}: the rules {keeping}allow {rules.count_max} "
        f"configs, and the program has {len(kept)} distinct ones that can run; the active one "
        "stays, and as many others as fit"
    )
    return fitted, [conflict]


def _rank(study: ConfigStudy | None) -> int:
    order = {Activity.ACTIVE: 0, Activity.POSSIBLE: 1, Activity.UNKNOWN: 2, Activity.INACTIVE: 3}
    return 4 if study is None else order[study.activity]


def _judge_candidates(
    kernel: KernelStudy,
    candidates: Sequence[ConfigStudy],
    originals: Sequence[ConfigChoice],
    rules: TuningRules,
    room: int | None,
    measured_warps_active_pct: float | None,
) -> list[ConfigChoice]:
    seen = {c.study.identity: c.config for c in originals if c.study and c.study.identity}
    choices = []
    for study in candidates:
        base = _base_of(kernel, study.config)
        reason = refusal(study, base, rules, measured_warps_active_pct)
        twin = seen.get(study.identity) if study.identity else None
        if reason is None and twin is not None:
            reason = f"the same binary as {twin}"
        if reason is None and room is not None and room <= 0:
            reason = f"no room: the request allows {rules.count_max} configs"
        kept = reason is None
        if kept:
            room = None if room is None else room - 1
            if study.identity:
                seen[study.identity] = study.config
        cause = led_by(kernel, study.config)
        choices.append(
            ConfigChoice(
                study.config,
                True,
                kept,
                reason or _merit(study, base, cause),
                study,
                None if cause is None else cause.id,
            )
        )
    return choices


def _base_of(kernel: KernelStudy, config: Config) -> ConfigStudy | None:
    """The original that a candidate was made from: same meta-parameters, nearest options."""
    same = [study for study in kernel.configs if study.config.meta == config.meta]
    return min(
        same,
        key=lambda s: (
            _rank(s),
            abs(s.config.num_stages - config.num_stages)
            + abs(s.config.num_warps - config.num_warps),
        ),
        default=None,
    )


def refusal(
    study: ConfigStudy,
    base: ConfigStudy | None,
    rules: TuningRules,
    measured_warps_active_pct: float | None,
) -> str | None:
    """Why a candidate is not worth trying or not allowed; None if nothing speaks against it."""
    if not study.launchable:
        return never_runs(study)
    if base is None:
        return None
    spills, base_spills = study.spill_bytes, base.spill_bytes
    if spills is not None and base_spills is not None and spills > base_spills:
        return f"spills {spills} B a thread, the original {base_spills} B"
    if study.config.num_warps == base.config.num_warps or not rules.warps_need_occupancy:
        return None
    suggested = occupancy_suggests_warps(
        warps_active_pct=measured_warps_active_pct,
        occupancy_pct=base.occupancy_pct,
        changed_launches=study.launchable,
        changed_spills_more=False,  # refused above
        changed_occupancy_pct=study.occupancy_pct,
    )
    if suggested:
        return None
    return _why_not_suggested(study, base, measured_warps_active_pct)


def _why_not_suggested(
    study: ConfigStudy, base: ConfigStudy, measured_warps_active_pct: float | None
) -> str:
    active_pct = (
        base.occupancy_pct if measured_warps_active_pct is None else measured_warps_active_pct
    )
    ours, theirs = study.occupancy_pct, base.occupancy_pct
    if active_pct is None or ours is None or theirs is None:
        return "num_warps may change only if occupancy suggests it, and occupancy is unknown"
    if active_pct >= LOW_OCCUPANCY_PCT:
        return (
            f"occupancy does not suggest other num_warps: {active_pct:.1f} % of the warps are "
            f"active, the bar is {LOW_OCCUPANCY_PCT:g} %"
        )
    return f"occupancy would fall from {theirs:.1f} to {ours:.1f} %"


def _merit(study: ConfigStudy, base: ConfigStudy | None, cause: Cause | None) -> str:
    """What speaks for trying a candidate: compiled facts, and the cause that it may help."""
    if base is None:
        return "asked for by the request"
    parts = []
    if study.config.num_stages != base.config.num_stages:
        parts.append(f"num_stages {base.config.num_stages} → {study.config.num_stages}")
    if study.config.num_warps != base.config.num_warps:
        parts.append(f"num_warps {base.config.num_warps} → {study.config.num_warps}")
    if study.occupancy_pct is not None and base.occupancy_pct is not None:
        parts.append(f"occupancy {base.occupancy_pct:.1f} → {study.occupancy_pct:.1f} %")
    why = "" if cause is None else f"; it may help against {cause.id}"
    return "new, a binary of its own, worth a try: " + ", ".join(parts) + why
