"""New configs, judged one by one: what speaks against each, what speaks for it."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.analysis.causes import cause_for
from warpwright.data.predicates import LOW_OCCUPANCY_PCT, occupancy_suggests_warps
from warpwright.proposers.configs.constraints import TuningRules, asked_for
from warpwright.proposers.configs.steps import moves_between
from warpwright.types.answer import ConfigChoice
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.study import Activity, Cause, ConfigStudy, KernelStudy


def judge_candidates(
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
        base = base_of(kernel, study.config)
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
                reason or _merit(study, base, cause, rules),
                study,
                None if cause is None else cause.id,
            )
        )
    return choices


def base_of(kernel: KernelStudy, config: Config) -> ConfigStudy | None:
    """The original that a candidate was made from: same meta-parameters, nearest options."""
    same = [study for study in kernel.configs if study.config.meta == config.meta]
    return min(
        same,
        key=lambda s: (
            activity_rank(s),
            abs(s.config.num_stages - config.num_stages)
            + abs(s.config.num_warps - config.num_warps),
        ),
        default=None,
    )


def activity_rank(study: ConfigStudy | None) -> int:
    order = {Activity.ACTIVE: 0, Activity.POSSIBLE: 1, Activity.UNKNOWN: 2, Activity.INACTIVE: 3}
    return 4 if study is None else order[study.activity]


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


def never_runs(study: ConfigStudy) -> str:
    """Why a config can never run, with the number that rules it out."""
    for view in study.compiled:
        if view.unlaunchable:
            return f"can never run on the target: {view.unlaunchable[0]}"
        if not isinstance(view.result, Compiled):
            told = "does not compile for the target" if view.ruled_out else "could not be compiled"
            return f"{told}: {view.result.reason}"
    return "was not compiled"


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


def _merit(
    study: ConfigStudy, base: ConfigStudy | None, cause: Cause | None, rules: TuningRules
) -> str:
    """What speaks for trying a candidate: compiled facts, and the cause that it may help."""
    if base is None:
        asked = asked_for(study.config, rules)
        return "asked for by the request" if asked else "another tile, a binary of its own"
    parts = []
    if study.config.num_stages != base.config.num_stages:
        parts.append(f"num_stages {base.config.num_stages} → {study.config.num_stages}")
    if study.config.num_warps != base.config.num_warps:
        parts.append(f"num_warps {base.config.num_warps} → {study.config.num_warps}")
    if study.occupancy_pct is not None and base.occupancy_pct is not None:
        parts.append(f"occupancy {base.occupancy_pct:.1f} → {study.occupancy_pct:.1f} %")
    why = "" if cause is None else f"; it may help against {cause.id}"
    return "new, a binary of its own, worth a try: " + ", ".join(parts) + why


def led_by(kernel: KernelStudy, config: Config) -> Cause | None:
    """The highest cause that speaks for the one step from an original to a proposed config.

    Only steps from what may be the active config count, where that is known; None without any.
    """
    bases = [c.config for c in kernel.active or kernel.configs if c.config.meta == config.meta]
    steps = [moves for base in bases if len(moves := moves_between(base, config)) == 1]
    found = [cause_for(kernel.causes, move) for (move,) in steps]
    return max((c for c in found if c is not None), key=lambda c: c.score, default=None)
