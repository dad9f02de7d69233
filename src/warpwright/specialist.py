"""One request, one stage → one answer: the main line, on one page.

    request → evidence → propose → gate → decide → answer

Without a GPU the decision is made on compiled evidence and on accuracy in the interpreter: no
speed is claimed, and the tuner on the user's card chooses among configs that were checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.accuracy import verify_accuracy
from warpwright.data.stages import left_open
from warpwright.diagnosis.profile_check import toolchain_finding
from warpwright.errors import Place
from warpwright.formats.nsight import check_profile_kernels, retired_metrics
from warpwright.judging import judge_candidate
from warpwright.proposers.configs import TuningRules, choose, neighbours
from warpwright.proposers.emit import emit_plans, reason_to_leave_alone
from warpwright.resources.gpus import resolve_gpu
from warpwright.source.view import read_program
from warpwright.study import Subject, Workbench, read_view, study_kernel, study_program
from warpwright.types.answer import Answer, ConfigPlan, Decision
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.study import Finding, KernelStudy, Study
from warpwright.types.verdict import GateReport, Status

ATTEMPTS = 3
GPU_SECTION = "# Target GPU"
WRONG_OUTPUT = "refused: its output is wrong (see accuracy)"
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"


def answer_request(request: Request, bench: Workbench, problem: Problem | None = None) -> Answer:
    """Answer a request within its stage's rules.

    `problem` gives shapes and the reference; without one, a `[PROBLEM]` section of the request
    is used, and without that accuracy stays unverified. Raises InputError and MissingToolError.
    """
    study, problem = study_request(request, bench, problem)
    if request.stage.id is not StageId.TUNING:
        stage = request.stage.id or "the request's stage"
        reason = f"no proposer of ours makes candidates for {stage} yet"
        return _kept(request, study, bench, (), reason)
    plans, candidates = propose(request, study, bench)
    rejected: dict[str, set[Config]] = {}
    for _ in range(ATTEMPTS):  # again without the configs that failed accuracy
        program = emit_plans(request.program, list(zip(plans, study.calls, strict=True)))
        if program == request.program:
            return _kept(request, study, bench, plans, "nothing better can be shown")
        child = read_program(program)
        kernels = _candidate_kernels(study, candidates)
        gate = judge_candidate(request, study, child, kernels, exhausted(request, plans), rejected)
        gate, failing = with_accuracy(gate, study, child, kernels, bench)
        if not failing:
            break
        for kernel, configs in failing.items():
            rejected.setdefault(kernel, set()).update(configs)
        plans = tuple(_without(plan, rejected.get(plan.kernel, set())) for plan in plans)
    else:
        return _kept(request, study, bench, plans, "configs kept failing accuracy (see there)")
    plans = tuple(_with_wrong_told(plan) for plan in plans)
    if gate.status is Status.FAIL:
        broken = "; ".join(str(violation) for violation in gate.violations[:3])
        return _kept(request, study, bench, plans, f"the candidate was refused: {broken}")
    return Answer(
        request=request,
        program=program,
        decision=Decision.CHANGED,
        reason=_what_changed(plans, study.calls),
        study=study,
        plans=plans,
        gate=gate,
        conflicts=tuple(c for plan in plans for c in plan.conflicts),
    )


def study_request(
    request: Request, bench: Workbench, problem: Problem | None, gpu: ResolvedGpu | None = None
) -> tuple[Study, Problem | None]:
    """The study of a request's program, and the problem that was used.

    `gpu` stands in for the request's own GPU.
    """
    if problem is None and request.problem is not None:
        problem = Problem(source=request.problem, origin="the request's [PROBLEM] section")
    if gpu is None:
        gpu = resolve_gpu(request.gpu, place=Place(request.document, GPU_SECTION))
    subject = Subject(request.program, request.document, request.program_line)
    check_profile_kernels(request, [kernel.name for kernel in read_view(subject).kernels])
    study = study_program(subject, gpu, bench, problem=problem, profile=request.profile)
    texts = (request.task, *request.constraints, *request.gpu.unknown)
    named = toolchain_finding(texts, study.toolchain)
    told = (*retired_metric_findings(request), *([] if named is None else [named]))
    return replace(study, findings=(*study.findings, *told)), problem


def retired_metric_findings(request: Request) -> tuple[Finding, ...]:
    """Metrics that the request's stage names and that no profile of this card can hold."""
    names = [target.metric for target in request.stage.metrics]
    return tuple(
        Finding(
            "retired-metric",
            "the request",
            f"The stage asks for {metric.name}, which no profile of this card can hold: "
            f"{metric.reason}. Ask for {metric.successor} instead; what depends on it is unknown.",
            Origin.STATED,
        )
        for metric in retired_metrics(names)
    )


def propose(
    request: Request, study: Study, bench: Workbench
) -> tuple[tuple[ConfigPlan, ...], dict[str, KernelStudy]]:
    """A plan a kernel, and what its new configs compile to."""
    # our own table fills what the request leaves open
    rules = TuningRules.of((*request.stage.rules, *left_open(request.stage)))
    subject = Subject(request.program, request.document, request.program_line)
    plans = []
    studied: dict[str, KernelStudy] = {}
    for kernel, call in zip(study.kernels, study.calls, strict=True):
        untouchable = reason_to_leave_alone(study.view, call)
        if untouchable is not None:
            plans.append(ConfigPlan(kernel.kernel, (), left_alone=untouchable))
            continue
        wanted = neighbours(kernel, rules)
        bench.listener(
            "propose", f"{kernel.kernel}: {len(wanted)} new configs within the rules to look at"
        )
        new = study_kernel(call, wanted, subject, study.gpu.sheet, bench)
        studied[kernel.kernel] = new
        profile = request.profile.kernel(kernel.kernel)
        measured = None if profile is None else profile.metric(WARPS_ACTIVE)
        plans.append(choose(kernel, new.configs, rules, measured_warps_active_pct=measured))
    return tuple(plans), studied


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
) -> tuple[GateReport, dict[str, set[Config]]]:
    """The gate's report with accuracy added, and the configs that failed it, by kernel.

    A candidate that reading alone refuses is not run.
    """
    if gate.status is Status.FAIL:
        return gate, {}
    run = verify_accuracy(study, child, kernels, bench)
    report = replace(gate, results=(*gate.results, run.result), accuracy_cases=run.cases)
    return report, dict(run.failing)


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


def _kept(
    request: Request,
    study: Study,
    bench: Workbench,
    plans: tuple[ConfigPlan, ...],
    reason: str,
) -> Answer:
    """The parent as the answer, with the gate's view of it."""
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    gate = judge_candidate(request, study, study.view, kernels)
    gate, _ = with_accuracy(gate, study, study.view, kernels, bench)
    return Answer(
        request=request,
        program=request.program,
        decision=Decision.KEPT,
        reason=reason,
        study=study,
        plans=plans,
        gate=gate,
        conflicts=tuple(c for plan in plans for c in plan.conflicts),
    )


def _what_changed(plans: Sequence[ConfigPlan], calls: Sequence[KernelCalls]) -> str:
    """One line: how many configs went and came, and why."""
    parts = []
    for plan, call in zip(plans, calls, strict=True):
        if plan.left_alone or not plan.choices:
            continue
        gone = sum(not c.kept for c in plan.choices if not c.proposed)
        new = sum(c.kept for c in plan.choices if c.proposed)
        parts.append(
            f"{call.name}: {len(call.configs)} → {len(plan.kept)} configs "
            f"({gone} redundant or impossible gone, {new} new)"
        )
    return "; ".join(parts)
