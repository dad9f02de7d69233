"""From chosen configs to a program that passed the gate: emitted, judged, interpreted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.accuracy import AccuracyRun, not_verified, verify_accuracy
from warpwright.full_size import with_full_size
from warpwright.judging import judge_candidate
from warpwright.proposers.asked import without_new
from warpwright.proposers.emit import emit_plans
from warpwright.proposers.tuning_rules import TuningRules
from warpwright.proposing import rules_of
from warpwright.source.view import read_program
from warpwright.study import Workbench
from warpwright.types.answer import ConfigPlan
from warpwright.types.config import Config
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import NOT_IN_TIME, GateReport, Status

ATTEMPTS = 4
UNVERIFIED = f"the candidate was {NOT_IN_TIME} (see accuracy)"
WRONG_OUTPUT = "refused: its output is wrong (see accuracy)"

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
            if not (rejected or refused) and (own := _wrong_originals(request, study, bench)):
                rejected, plans = own, _without_all(plans, own)
                continue
            return Draft(plans, keep=refused or _nothing(plans))
        gate, run = _judged(request, study, bench, plans, candidates, program, rejected)
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
        if not failing and not run.result.in_time and refused is None:
            # Binaries that the program has already need no check; new ones do.
            refused = UNVERIFIED
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
    if not run.result.in_time and not _only_drops(plans):
        return Draft(plans, keep=UNVERIFIED)
    return Draft(plans, program, gate)


def _judged(
    request: Request,
    study: Study,
    bench: Workbench,
    plans: tuple[ConfigPlan, ...],
    candidates: Mapping[str, KernelStudy],
    program: str,
    rejected: Failing,
) -> tuple[GateReport, AccuracyRun]:
    """An emitted program before the gate and in the interpreter."""
    child = read_program(program)
    kernels = _candidate_kernels(study, candidates)
    gate = judge_candidate(request, study, child, kernels, exhausted(request, plans), rejected)
    return with_accuracy(gate, study, child, kernels, bench)


def _only_drops(plans: Sequence[ConfigPlan]) -> bool:
    """Whether every config that stays is the program's own: then so is each binary."""
    return not any(choice.kept and choice.proposed for plan in plans for choice in plan.choices)


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
    results = (*gate.results, *with_full_size(run.result, study, child, kernels, bench))
    return replace(gate, results=results, accuracy_cases=run.cases), run


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
