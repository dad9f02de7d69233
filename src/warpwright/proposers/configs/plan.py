"""What new configs a request's rules allow, and which of them get a place in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.data.predicates import memory_stalls_are_high
from warpwright.data.stages import left_open
from warpwright.proposers.configs.choose import choose, neighbours
from warpwright.proposers.configs.constraints import TuningRules, asked_for
from warpwright.proposers.configs.emit import (
    reason_to_leave_alone,
    reason_to_stand_alone,
    with_passed_sizes,
)
from warpwright.proposers.configs.one_list import TimedConfigs, as_rules_allow
from warpwright.proposers.configs.requested import making_room
from warpwright.proposers.configs.rule_refusals import (
    refused_before_compiling,
    refused_by_rules,
    with_refused,
)
from warpwright.proposers.configs.space import tile_space
from warpwright.proposers.configs.tile_candidates import tile_candidates
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.config_space import ConfigSpace
from warpwright.types.request import Request
from warpwright.types.study import KernelStudy, Study

NOT_FASTER = "not faster"
STALLS = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"
STEPS_SHARE = 4  # one in so many of the measured configs is a step in warps or stages
MOST_LISTED = 6  # new configs in a list where the request sets no limit: each is tried and checked
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"


def propose(
    request: Request,
    study: Study,
    run_context: RunContext,
    limit: int | None = None,
    *,
    asked_alone: bool = False,
) -> tuple[tuple[ConfigPlan, ...], dict[str, KernelStudy]]:
    """A plan a kernel, and what its new configs compile to.

    `limit` is for measuring: up to so many new configs a kernel, and as many places in its list
    as there are; who gets the places that the request allows is for `chosen_by_time` to say. They
    hold other tiles where the stage's rules leave those free.
    `asked_alone`: no new configs but those that the rules ask for by name, where time is short.
    """
    rules = rules_of(request)
    if limit is not None:
        rules = replace(rules, count_min=None, count_max=None)
    plans = []
    studied: dict[str, KernelStudy] = {}
    for kernel, call in zip(study.kernels, study.calls, strict=True):
        untouchable = reason_to_leave_alone(study.view, call)
        alone = None
        if limit is not None and not (rules.originals_stay or rules.keep_tile):
            alone = reason_to_stand_alone(study.view, call)
        if untouchable is not None and alone is None:
            plans.append(ConfigPlan(kernel.kernel, (), left_alone=untouchable))
            continue
        wanted = _wanted(request, study, kernel, call, rules, limit, alone is not None)
        if asked_alone:
            wanted = tuple(config for config in wanted if asked_for(config, rules))
        plan, new = _looked_at(request, study, kernel, call, wanted, rules, run_context, alone)
        studied[kernel.kernel] = new
        plans.append(plan)
    return tuple(plans), studied


def tuning_space(
    request: Request, study: Study, kernel: KernelStudy, call: KernelCalls
) -> ConfigSpace | str:
    """The space of configs that may be measured, or why there is none."""
    rules = _measured_rules(request, kernel)
    found = tile_space(kernel, call, study.view, rules, study.gpu.sheet)
    return found if isinstance(found, str) else found.space


def look_at_more(
    request: Request,
    study: Study,
    kernel: KernelStudy,
    call: KernelCalls,
    wanted: Sequence[Config],
    run_context: RunContext,
    alone: str | None,
) -> tuple[ConfigPlan, KernelStudy]:
    """A plan of further configs that are to be measured, and what they compile to.

    `alone`: why only one config may stand in the program (`ConfigPlan.alone`).
    """
    rules = _measured_rules(request, kernel)
    broken = refused_before_compiling(request, study, call, wanted, alone=alone is not None)
    wanted = [config for config in wanted if config not in broken]
    return _looked_at(request, study, kernel, call, wanted, rules, run_context, alone)


def _measured_rules(request: Request, kernel: KernelStudy) -> TuningRules:
    """The rules for configs that will be measured: as many places as there are."""
    rules = replace(rules_of(request), count_min=None, count_max=None)
    return replace(rules, more_stages=rules.more_stages or _stalls_are_high(request, kernel))


def _looked_at(
    request: Request,
    study: Study,
    kernel: KernelStudy,
    call: KernelCalls,
    wanted: Sequence[Config],
    rules: TuningRules,
    run_context: RunContext,
    alone: str | None,
) -> tuple[ConfigPlan, KernelStudy]:
    """A plan of the wanted configs, and what they compile to."""
    run_context.listener(
        "propose", f"{kernel.kernel}: {len(wanted)} new configs within the rules to look at"
    )
    subject = Subject(study.view.source, request.document, request.program_line)
    new = study_kernel(call, wanted, subject, study.gpu.sheet, run_context)
    refused = refused_by_rules(request, study, call, new, alone=alone is not None)
    allowed = [config for config in new.configs if config.config not in refused]
    active_pct = _active(request, kernel)
    plan = choose(
        kernel, allowed, rules, measured_warps_active_pct=active_pct, pruned=pruned_by(call)
    )
    return replace(with_refused(plan, new, refused), alone=alone), new


def _wanted(
    request: Request,
    study: Study,
    kernel: KernelStudy,
    call: KernelCalls,
    rules: TuningRules,
    limit: int | None,
    alone: bool,
) -> tuple[Config, ...]:
    """New configs to look at: steps in warps and stages; where they will be measured, other tiles
    too, which get most of the places."""
    near = neighbours(kernel, rules)
    if limit is None:
        return near
    rules = replace(rules, more_stages=rules.more_stages or _stalls_are_high(request, kernel))
    found = tile_space(kernel, call, study.view, rules, study.gpu.sheet)
    if isinstance(found, str):
        return near[:limit]
    known = set(with_passed_sizes(call, [*call.configs, found.space.start]))
    tiles = tuple(c for c in tile_candidates(found, rules, 2 * limit) if c not in known)
    # Rules that reading decides are asked before anything is compiled.
    broken = refused_before_compiling(request, study, call, tiles, alone=alone)
    tiles = tuple(config for config in tiles if config not in broken)
    steps = max(limit - len(tiles), limit // STEPS_SHARE)
    return (*tiles[: limit - len(near[:steps])], *near[:steps])


def _stalls_are_high(request: Request, kernel: KernelStudy) -> bool:
    """Whether the profile shows that more stages may help: unknown is no."""
    profile = request.profile.kernel(kernel.kernel)
    return bool(memory_stalls_are_high(None if profile is None else profile.metric(STALLS)))


def configs_left_alone(request: Request, study: Study) -> tuple[ConfigPlan, ...]:
    """Plans for a stage that is not about configs, where nothing is measured: nothing would show
    that others are better than the program's own."""
    why = f"the {request.stage.id} stage is not about configs, and nothing is measured"
    return tuple(ConfigPlan(kernel.kernel, (), left_alone=why) for kernel in study.kernels)


def pruned_by(call: KernelCalls) -> tuple[Config, ...]:
    """Configs of a list that can be read that the program's own pruning leaves out here."""
    autotune = call.source.autotune
    listed = () if autotune is None else autotune.configs or ()
    return tuple(config for config in dict.fromkeys(listed) if config not in call.configs)


def rules_of(request: Request) -> TuningRules:
    """The bounds on config lists; our own table fills what the request leaves open."""
    return TuningRules.of((*request.stage.rules, *left_open(request.stage)))


def _active(request: Request, kernel: KernelStudy) -> float | None:
    """The profile's warps active in percent, None if not taken."""
    profile = request.profile.kernel(kernel.kernel)
    return None if profile is None else profile.metric(WARPS_ACTIVE)


def chosen_by_time(
    request: Request,
    study: Study,
    proposed: tuple[ConfigPlan, ...],
    candidates: Mapping[str, KernelStudy],
    timed: Mapping[str, TimedConfigs],
) -> tuple[ConfigPlan, ...]:
    """Plans in which the places that the request allows go to what was measured to be fastest.

    `proposed`: the plans that were measured, a kernel each.
    """
    plans = []
    for kernel, call, before in zip(study.kernels, study.calls, proposed, strict=True):
        if before.left_alone is not None:
            plans.append(before)
            continue
        new, found = candidates[kernel.kernel], timed.get(kernel.kernel, TimedConfigs())
        plan = _filled(request, kernel, new, found, pruned_by(call))
        plan = as_rules_allow(plan, call, found, rules_of(request), before.alone)
        named = {choice.config for choice in plan.choices}
        rest = [
            ConfigChoice(config.config, True, False, NOT_FASTER, config)
            for config in new.configs
            if config.config not in named and config.config in found.reasons
        ]
        never = [c for c in before.choices if c.proposed and not c.kept]
        choices = (*plan.choices, *rest, *never)
        told = tuple(_with_reason(choice, found.reasons.get(choice.config)) for choice in choices)
        plans.append(replace(plan, choices=told))
    return tuple(plans)


def _filled(
    request: Request,
    kernel: KernelStudy,
    new: KernelStudy,
    timed: TimedConfigs,
    pruned: tuple[Config, ...],
) -> ConfigPlan:
    """The faster configs, those that the request asks for by name, and others only as far as it
    asks for more configs than that."""
    rules = rules_of(request)
    asked = [config for config in timed.others if asked_for(config, rules)]
    spare = [config for config in timed.others if config not in asked]
    dropped = making_room(timed.originals, timed.faster, rules)

    def chosen(configs: Sequence[Config]) -> ConfigPlan:
        studies = [study for config in configs if (study := new.config(config)) is not None]
        active_pct = _active(request, kernel)
        return choose(
            kernel,
            studies,
            rules,
            measured_warps_active_pct=active_pct,
            dropped=dropped,
            pruned=pruned,
        )

    faster = timed.faster if rules.count_max is not None else timed.faster[:MOST_LISTED]
    wanted = [*faster, *asked]
    plan = chosen(wanted)
    while spare and len(plan.kept) < (rules.count_min or 0):
        wanted.append(spare.pop(0))
        plan = chosen(wanted)
    return plan


def _with_reason(choice: ConfigChoice, measured: str | None) -> ConfigChoice:
    if measured is None:
        return choice
    said = measured if choice.reason == NOT_FASTER else f"{choice.reason}; {measured}"
    return replace(choice, reason=said)
