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

from warpwright.proposers.configs.candidates import (
    activity_rank,
    base_of,
    judge_candidates,
    never_runs,
    refusal,
)
from warpwright.proposers.configs.constraints import TuningRules, asked_for
from warpwright.proposers.configs.requested import asked_twin, in_its_twins_place
from warpwright.proposers.configs.spread import spread
from warpwright.proposers.configs.steps import steps_around
from warpwright.types.answer import ConfigChoice, ConfigPlan, Fate
from warpwright.types.compiled import CompileFailed
from warpwright.types.config import Config
from warpwright.types.study import Activity, ConfigStudy, KernelStudy

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
    pruned: Sequence[Config] = (),
) -> ConfigPlan:
    """Choose the config list: distinct launchable originals, then the best candidates.

    `measured_warps_active_pct` is the profile's warps active (0..100), None if not taken.
    `dropped`: originals that were measured and do not stay, each with the reason. `pruned`: those
    that the program's own pruning never lets its tuner try on this problem.
    """
    originals = [
        replace(choice, kept=False, reason=(dropped or {})[choice.config], fate=Fate.SLOWER)
        if choice.kept and choice.config in (dropped or {})
        else choice
        for choice in _judge_originals(kernel, rules)
    ]
    conflicts = _domain_conflicts(kernel, originals, rules)
    asked = [
        study
        for study in candidates
        if asked_for(study.config, rules)
        and refusal(study, base_of(kernel, study.config), rules, measured_warps_active_pct) is None
    ]
    twin = asked_twin(originals, asked)
    reserved = 0 if twin is not None else min(len(asked), 1)
    originals, unfit = _fit(kernel, originals, rules, reserved, twin)
    conflicts += unfit
    room = None if rules.count_max is None else rules.count_max - sum(c.kept for c in originals)
    proposed = judge_candidates(
        kernel, candidates, originals, rules, room, measured_warps_active_pct
    )
    choices = [*originals, *proposed]
    if twin is not None and any(c.kept == c.proposed for c in choices if c.study is not twin):
        choices = in_its_twins_place(choices, twin)
    choices += _pruned(choices, pruned, rules)
    plan = ConfigPlan(kernel.kernel, tuple(choices), tuple(conflicts), limit=rules.count_max)
    if rules.count_min is not None and len(plan.kept) < rules.count_min:
        conflicts.append(
            f"the request asks for at least {rules.count_min} configs; only {len(plan.kept)} "
            "distinct ones exist within its other rules"
        )
    return replace(plan, conflicts=tuple(conflicts))


def _pruned(
    choices: Sequence[ConfigChoice], pruned: Sequence[Config], rules: TuningRules
) -> list[ConfigChoice]:
    """What becomes of originals that the program's own pruning leaves out: they cost no time, so
    they stay where the list is not written anew, or where there is room for all of them."""
    kept = sum(choice.kept for choice in choices)
    untouched = all(choice.kept is not choice.proposed for choice in choices)
    if untouched or rules.count_max is None or kept + len(pruned) <= rules.count_max:
        reason = "original, never tried on this problem (the program's own pruning): stays"
        return [ConfigChoice(config, False, True, reason) for config in pruned]
    reason = (
        "the program's own pruning never tries it on this problem, and the request allows "
        f"{rules.count_max} configs"
    )
    return [ConfigChoice(config, False, False, reason, fate=Fate.PRUNED) for config in pruned]


def _judge_originals(kernel: KernelStudy, rules: TuningRules) -> list[ConfigChoice]:
    """Keep one original per binary; drop what can never launch."""
    keepers = {id(study) for study in _representatives(kernel, rules)}
    choices = []
    for study in kernel.configs:
        active = study.activity is Activity.ACTIVE
        if study.ruled_out and not active:
            choices.append(_gone(study, never_runs(study), Fate.IMPOSSIBLE))
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
            choices.append(_gone(study, reason, Fate.EQUAL))
    return choices


def _gone(study: ConfigStudy, reason: str, fate: Fate) -> ConfigChoice:
    return ConfigChoice(study.config, False, False, reason, study, fate=fate)


def _not_known(study: ConfigStudy) -> str:
    failed = (v.result for v in study.compiled if isinstance(v.result, CompileFailed))
    reason = next((result.reason for result in failed), "it was not compiled")
    return f"original, not known to be impossible ({reason}): stays"


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
    kept = sorted((c for c in choices if c.kept), key=lambda c: activity_rank(c.study))
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
    stays = {id(choice) for choice in (*own, *_spread_out(own, others, room))}
    reason = (
        f"left out by the request's limit of {rules.count_max} configs: it is a binary of its own "
        "and nothing shows it to be slower; those that stay lie far apart in tiles, warps and "
        "stages"
    )
    fitted = [
        choice
        if not choice.kept or id(choice) in stays
        else replace(choice, kept=False, reason=reason, fate=Fate.LIMIT)
        for choice in choices
    ]
    keeping = "ask to keep the originals and " if rules.originals_stay else ""
    active = any(c.study is not None and c.study.activity is Activity.ACTIVE for c in kept)
    conflict = (
        f"{kernel.kernel}: the rules {keeping}allow {rules.count_max} "
        f"configs, and the program has {len(kept)} distinct ones that can run; "
        + ("the active one stays, and of the others " if active else "of those ")
        + "as many as fit, far apart in tiles, warps and stages"
    )
    return fitted, [conflict]


def _spread_out(
    own: Sequence[ConfigChoice], others: Sequence[ConfigChoice], room: int
) -> list[ConfigChoice]:
    """As many as there is room for: what is more likely the active one first, and where only a part
    of the equally likely fits, those that lie far apart."""
    chosen: list[ConfigChoice] = []
    for rank in sorted({activity_rank(choice.study) for choice in others}):
        alike = {c.config: c for c in others if activity_rank(c.study) == rank}
        present = [choice.config for choice in (*own, *chosen)]
        chosen += [alike[c] for c in spread(list(alike), room - len(chosen), present)]
    return chosen
