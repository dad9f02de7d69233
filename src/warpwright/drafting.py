"""From a study to a program that passed the gate: what is proposed, emitted, and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from warpwright.accuracy import AccuracyRun, not_verified, verify_accuracy
from warpwright.data.stages import left_open
from warpwright.judging import judge_candidate
from warpwright.proposers.asked import making_room, without_new
from warpwright.proposers.configs import choose, neighbours
from warpwright.proposers.emit import emit_plans, reason_to_leave_alone
from warpwright.proposers.tuning_rules import TuningRules, asked_for
from warpwright.rule_refusals import refused_by_rules, with_refused
from warpwright.source.view import read_program
from warpwright.study import Subject, Workbench, study_kernel
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.config import Config
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import GateReport, Status

ATTEMPTS = 4
WRONG_OUTPUT = "refused: its output is wrong (see accuracy)"
NOT_FASTER = "not faster"
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"

Failing = dict[str, set[Config]]
Confirm = Callable[[GateReport, tuple[ConfigPlan, ...], str], tuple[GateReport, Failing]]
"""Gate's report so far, plans and program → the report with more in it, and what failed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A program that passed the gate; or why the parent stays (`keep`), with the plans."""

    plans: tuple[ConfigPlan, ...]
    program: str = ""
    gate: GateReport | None = None
    keep: str | None = None


def propose(
    request: Request, study: Study, bench: Workbench, limit: int | None = None
) -> tuple[tuple[ConfigPlan, ...], dict[str, KernelStudy]]:
    """A plan a kernel, and what its new configs compile to.

    `limit` is for measuring: up to so many new configs a kernel, and as many places in its list
    as there are; who gets the places that the request allows is for `chosen_by_time` to say.
    """
    rules = rules_of(request)
    if limit is not None:
        rules = replace(rules, count_min=None, count_max=None)
    subject = Subject(request.program, request.document, request.program_line)
    plans = []
    studied: dict[str, KernelStudy] = {}
    for kernel, call in zip(study.kernels, study.calls, strict=True):
        untouchable = reason_to_leave_alone(study.view, call)
        if untouchable is not None:
            plans.append(ConfigPlan(kernel.kernel, (), left_alone=untouchable))
            continue
        wanted = neighbours(kernel, rules)[:limit]
        bench.listener(
            "propose", f"{kernel.kernel}: {len(wanted)} new configs within the rules to look at"
        )
        new = study_kernel(call, wanted, subject, study.gpu.sheet, bench)
        studied[kernel.kernel] = new
        refused = refused_by_rules(request, study, call, new)
        allowed = [config for config in new.configs if config.config not in refused]
        active_pct = _active(request, kernel)
        plan = choose(kernel, allowed, rules, measured_warps_active_pct=active_pct)
        plans.append(with_refused(plan, new, refused))
    return tuple(plans), studied


def rules_of(request: Request) -> TuningRules:
    """The bounds on config lists; our own table fills what the request leaves open."""
    return TuningRules.of((*request.stage.rules, *left_open(request.stage)))


def _active(request: Request, kernel: KernelStudy) -> float | None:
    """The profile's warps active in percent, None if not taken."""
    profile = request.profile.kernel(kernel.kernel)
    return None if profile is None else profile.metric(WARPS_ACTIVE)


@dataclass(frozen=True, slots=True)
class Timed:
    """What timings say of a kernel's new configs, the fastest first.

    `faster` may be faster than the parent; `others` ran and are not. `originals`: the program's
    own, the fastest first, last those that could not be timed. `reasons`: every measured config of
    the kernel → what was measured.
    """

    faster: tuple[Config, ...] = ()
    others: tuple[Config, ...] = ()
    originals: tuple[Config, ...] = ()
    reasons: Mapping[Config, str] = field(default_factory=dict)


def chosen_by_time(
    request: Request,
    study: Study,
    proposed: tuple[ConfigPlan, ...],
    candidates: Mapping[str, KernelStudy],
    timed: Mapping[str, Timed],
) -> tuple[ConfigPlan, ...]:
    """Plans in which the places that the request allows go to what was measured to be fastest.

    `proposed`: the plans that were measured, a kernel each.
    """
    plans = []
    for kernel, before in zip(study.kernels, proposed, strict=True):
        if before.left_alone is not None:
            plans.append(before)
            continue
        new, found = candidates[kernel.kernel], timed.get(kernel.kernel, Timed())
        plan = _filled(request, kernel, new, found)
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


def _filled(request: Request, kernel: KernelStudy, new: KernelStudy, timed: Timed) -> ConfigPlan:
    """The faster configs, those that the request asks for by name, and others only as far as it
    asks for more configs than that."""
    rules = rules_of(request)
    asked = [config for config in timed.others if asked_for(config, rules)]
    spare = [config for config in timed.others if config not in asked]
    dropped = making_room(timed.originals, timed.faster, rules)

    def chosen(configs: Sequence[Config]) -> ConfigPlan:
        studies = [study for config in configs if (study := new.config(config)) is not None]
        active_pct = _active(request, kernel)
        return choose(kernel, studies, rules, measured_warps_active_pct=active_pct, dropped=dropped)

    wanted = [*timed.faster, *asked]
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


def draft(
    request: Request,
    study: Study,
    bench: Workbench,
    plans: tuple[ConfigPlan, ...],
    candidates: Mapping[str, KernelStudy],
    confirm: Confirm | None = None,
    wrong: Mapping[str, set[Config]] | None = None,
) -> Draft:
    """Emit the plans and put the program before the gate, again without configs that fail.

    `confirm` checks what passed in the interpreter where it really runs. `wrong`: kernel → configs
    that were shown to be wrong already.
    """
    rejected: Failing = {kernel: set(configs) for kernel, configs in (wrong or {}).items()}
    plans = _without_all(plans, rejected)
    refused: str | None = None
    for _ in range(ATTEMPTS):
        program = emit_plans(request.program, list(zip(plans, study.calls, strict=True)))
        if program == request.program:
            if not (rejected or refused):
                rejected = _wrong_originals(request, study, bench)
                if rejected:
                    plans = _without_all(plans, rejected)
                    continue
            return Draft(plans, keep=refused or _nothing(plans))
        child = read_program(program)
        kernels = _candidate_kernels(study, candidates)
        gate = judge_candidate(request, study, child, kernels, exhausted(request, plans), rejected)
        gate, run = with_accuracy(gate, study, child, kernels, bench)
        if run.differing:
            return Draft(plans, keep=own_outputs_differ(run.differing))
        failing = dict(run.failing)
        if not failing and confirm is not None and gate.status is not Status.FAIL:
            gate, failing = confirm(gate, plans, program)
        if not failing and gate.status is Status.FAIL and refused is None:
            refused = _refusal(gate)
            fewer = tuple(without_new(plan, rules_of(request)) for plan in plans)
            if fewer != plans:
                plans = fewer
                continue
        if not failing:
            break
        for kernel, configs in failing.items():
            rejected.setdefault(kernel, set()).update(configs)
        plans = _without_all(plans, rejected)
    else:
        return Draft(plans, keep="configs kept failing accuracy (see there)")
    plans = tuple(_with_wrong_told(plan) for plan in plans)
    if gate.status is Status.FAIL:
        return Draft(plans, keep=refused or _refusal(gate))
    return Draft(plans, program, gate)


def own_outputs_differ(which: Sequence[str]) -> str:
    """Why the parent stays where some of its own configs differ and no reference decides."""
    return (
        "the program's own configs give different outputs, or it never gives the same twice "
        f"({'; '.join(which[:3])}). Nothing tells which is right: give the problem with its Model"
    )


def _nothing(plans: Sequence[ConfigPlan]) -> str:
    """Why plans that change nothing change nothing: what became of the new configs."""
    plain = "nothing better can be shown"
    for plan in plans:
        own = [choice for choice in plan.choices if not choice.proposed]
        if own and all(choice.reason == WRONG_OUTPUT for choice in own):
            return f"{plan.kernel}: the program's output is wrong with each of its configs"
    if alone := [plan for plan in plans if plan.left_alone]:
        plain = f"{plain}: {alone[0].kernel}: {alone[0].left_alone}"
    new = [choice for plan in plans for choice in plan.choices if choice.proposed]
    if not new:
        return plain
    return f"{plain}: of {len(new)} new configs none is of use ({new[0].config}: {new[0].reason})"


def _refusal(gate: GateReport) -> str:
    broken = "; ".join(str(violation) for violation in gate.violations[:3])
    return f"the candidate was refused: {broken}"


def exhausted(request: Request, plans: Sequence[ConfigPlan]) -> frozenset[str]:
    """Kernels that cannot have as many distinct configs as the request asks for.

    All that the rules allow were compiled, and the plan keeps every distinct one.
    """
    least = TuningRules.of(request.stage.rules).count_min or 0
    return frozenset(p.kernel for p in plans if not p.left_alone and len(p.kept) < least)


def _candidate_kernels(study: Study, studied: Mapping[str, KernelStudy]) -> dict[str, KernelStudy]:
    """Every kernel with its originals and candidates, as the candidate program may have them."""
    return {
        kernel.kernel: replace(kernel, configs=(*kernel.configs, *studied[kernel.kernel].configs))
        if kernel.kernel in studied
        else kernel
        for kernel in study.kernels
    }


def with_accuracy(
    gate: GateReport,
    study: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
) -> tuple[GateReport, AccuracyRun]:
    """The gate's report with accuracy added, and what that came to.

    A candidate that reading alone refuses is not run.
    """
    if gate.status is Status.FAIL:
        return gate, AccuracyRun(not_verified("it was refused before it was run"))
    run = verify_accuracy(study, child, kernels, bench)
    return replace(gate, results=(*gate.results, run.result), accuracy_cases=run.cases), run


def _wrong_originals(request: Request, study: Study, bench: Workbench) -> Failing:
    """Configs of the program as it came whose output is wrong."""
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    gate = judge_candidate(request, study, study.view, kernels)
    return dict(with_accuracy(gate, study, study.view, kernels, bench)[1].failing)


def _without_all(
    plans: tuple[ConfigPlan, ...], rejected: Mapping[str, set[Config]]
) -> tuple[ConfigPlan, ...]:
    return tuple(_without(plan, rejected.get(plan.kernel, set())) for plan in plans)


def _without(plan: ConfigPlan, rejected: set[Config]) -> ConfigPlan:
    choices = tuple(
        replace(choice, kept=False, reason=WRONG_OUTPUT)
        if choice.config in rejected and choice.kept
        else choice
        for choice in plan.choices
    )
    return replace(plan, choices=choices)


def _with_wrong_told(plan: ConfigPlan) -> ConfigPlan:
    """Originals that compute something wrong are a conflict: the rules ask to keep them."""
    wrong = [c.config for c in plan.choices if not c.proposed and c.reason == WRONG_OUTPUT]
    if not wrong:
        return plan
    told = (
        f"{plan.kernel}: the program's own {'; '.join(map(str, wrong))} computes something else "
        "than the reference; the rules ask to keep originals, and a wrong one is not handed out"
    )
    return replace(plan, conflicts=(*plan.conflicts, told))
