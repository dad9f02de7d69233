"""One request, one stage → one answer: the main line, on one page.

    request → evidence → propose → gate → decide → answer

Without a GPU the decision is made on compiled evidence and on accuracy in the interpreter: no
speed is claimed, and the tuner on the user's card chooses among configs that were checked. With
one, every config is measured beside the parent, and the program is handed out only where fresh
timings show that it is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.diagnosis.profile_check import toolchain_finding
from warpwright.drafting import WRONG_OUTPUT, Draft, Failing, draft, with_accuracy
from warpwright.errors import Place
from warpwright.formats.nsight import check_profile_kernels, foreign_kernels, retired_metrics
from warpwright.judging import judge_candidate
from warpwright.measure.minimum import minimum_of
from warpwright.proposing import chosen_by_time, propose
from warpwright.resources.gpus import resolve_gpu
from warpwright.study import Subject, Workbench, read_view, study_program
from warpwright.trials.measured import decide_draft, measure_configs, with_apart
from warpwright.trials.screening import ParentFailedError
from warpwright.trials.setup import Table, TrialSetup, open_table
from warpwright.types.answer import Answer, ConfigPlan, Decision
from warpwright.types.calls import KernelCalls
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.study import Finding, KernelStudy, Study
from warpwright.types.trial import Trial
from warpwright.types.verdict import GateReport

GPU_SECTION = "# Target GPU"


def answer_request(
    request: Request,
    bench: Workbench,
    problem: Problem | None = None,
    *,
    gpu: ResolvedGpu | None = None,
    setup: TrialSetup | None = None,
) -> Answer:
    """Answer a request within its stage's rules.

    `problem` gives shapes and the reference; without one, a `[PROBLEM]` section of the request
    is used, and without that accuracy stays unverified. `gpu` stands in for the request's own.
    With `setup` the GPU of this machine, which must be the request's, measures and decides.
    Raises InputError and MissingToolError.
    """
    study, problem = study_request(request, bench, problem, gpu)
    if request.stage.id is not StageId.TUNING:
        stage = request.stage.id or "the request's stage"
        reason = f"no proposer of ours makes candidates for {stage} yet"
        return _kept(request, study, bench, (), reason)
    if setup is not None and study.problem is not None and study.trace is not None:
        return _measured(request, study, bench, setup)
    if setup is not None:
        bench.listener("measure", "nothing is measured: the program's launches are not known")
    plans, candidates = propose(request, study, bench)
    if (unable := _unable(study, plans)) is not None:
        return _kept(request, study, bench, plans, unable)
    return _answer(request, study, bench, draft(request, study, bench, plans, candidates))


def _measured(request: Request, study: Study, bench: Workbench, setup: TrialSetup) -> Answer:
    """The answer by measuring; the parent stays where nothing can be measured."""
    plans, candidates = propose(request, study, bench, setup.budget.candidates)
    question = {"request": repr(request), "gpu": repr(study.gpu)}
    with open_table(setup, study, question, bench.listener) as table:
        if isinstance(table, str):
            trial = Trial(None, setup.budget.name, failure=table)
            return _kept(request, study, bench, plans, f"not measured: {table}", trial)
        try:
            drafted, trial = _tried(request, study, bench, table, plans, candidates)
        except ParentFailedError as error:
            trial = Trial(table.bench.gpu, setup.budget.name, failure=str(error))
            drafted = Draft(plans, keep=f"the parent stopped running while measured: {error}")
    return _answer(request, study, bench, drafted, trial)


def _tried(
    request: Request,
    study: Study,
    bench: Workbench,
    table: Table,
    plans: tuple[ConfigPlan, ...],
    candidates: Mapping[str, KernelStudy],
) -> tuple[Draft, Trial]:
    """Measure the configs, draft from the fastest, decide on fresh timings."""
    with bench.off_the_clock():
        found = measure_configs(table, study, plans)

    def confirm(
        gate: GateReport, plans: tuple[ConfigPlan, ...], program: str
    ) -> tuple[GateReport, Failing]:
        with bench.off_the_clock():
            return found.confirm(gate, plans, program)

    plans = chosen_by_time(request, study, plans, candidates, found.timed)
    if (keep := found.keep) is not None:
        drafted = Draft(plans, keep=keep)
    else:
        drafted = draft(request, study, bench, plans, candidates, confirm, found.wrong)
    trial = found.trial
    if drafted.keep is None:
        with bench.off_the_clock():
            trial, keep = decide_draft(table, found, drafted.program, minimum_of(request.stage))
        drafted = replace(drafted, keep=keep)
    answered = request.program if drafted.keep is not None else drafted.program
    with bench.off_the_clock():
        return drafted, with_apart(table, trial, answered)


def _answer(
    request: Request, study: Study, bench: Workbench, drafted: Draft, trial: Trial | None = None
) -> Answer:
    if drafted.keep is not None or drafted.gate is None:
        reason = drafted.keep or "nothing better can be shown"
        return _kept(request, study, bench, drafted.plans, reason, trial)
    changed = _what_changed(drafted.plans, study.calls)
    return Answer(
        request=request,
        program=drafted.program,
        decision=Decision.CHANGED,
        reason=changed
        if trial is None or trial.repaired is None
        else f"{changed}; {trial.repaired}",
        study=study,
        plans=drafted.plans,
        gate=drafted.gate,
        conflicts=tuple(c for plan in drafted.plans for c in plan.conflicts),
        trial=trial,
    )


def _unable(study: Study, plans: Sequence[ConfigPlan]) -> str | None:
    """Why the program cannot run on the target, and no new config helps; None where one may."""
    helped = {
        plan.kernel for plan in plans for choice in plan.choices if choice.kept and choice.proposed
    }
    for kernel in study.kernels:
        dead = bool(kernel.configs) and all(config.ruled_out for config in kernel.configs)
        if dead and kernel.kernel not in helped:
            return (
                f"the program itself cannot run on {study.gpu.sheet.name}, as compiled here: no "
                f"config of {kernel.kernel} can, and none within the rules would help"
            )
    return None


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
    names = [kernel.name for kernel in read_view(subject).kernels]
    check_profile_kernels(request.profile, names, document=request.document)
    study = study_program(subject, gpu, bench, problem=problem, profile=request.profile)
    texts = (request.task, *request.constraints, *request.gpu.unknown)
    named = toolchain_finding(texts, study.toolchain)
    told = (
        *retired_metric_findings(request),
        *foreign_kernel_findings(request, names),
        *([] if named is None else [named]),
    )
    return replace(study, findings=(*study.findings, *told)), problem


def foreign_kernel_findings(request: Request, names: Sequence[str]) -> tuple[Finding, ...]:
    """That the profile holds kernels of libraries too, if it does."""
    foreign = [kernel.kernel for kernel in foreign_kernels(request.profile, names)]
    if not foreign:
        return ()
    listed = ", ".join(name[:80] for name in foreign[:3])
    more = f" and {len(foreign) - 3} others" if len(foreign) > 3 else ""
    said = f"The profile also has {listed}{more}: no kernels of the program, so they are left out."
    return (Finding("foreign-kernel", "the profile", said, Origin.STATED),)


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


def _kept(
    request: Request,
    study: Study,
    bench: Workbench,
    plans: tuple[ConfigPlan, ...],
    reason: str,
    trial: Trial | None = None,
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
        trial=trial,
    )


def _what_changed(plans: Sequence[ConfigPlan], calls: Sequence[KernelCalls]) -> str:
    """One line: how many configs went and came, and why."""
    parts = []
    for plan, call in zip(plans, calls, strict=True):
        if plan.left_alone or not plan.choices:
            continue
        lost = [c.reason for c in plan.choices if not c.proposed and not c.kept]
        new = sum(c.kept for c in plan.choices if c.proposed)
        wrong = lost.count(WRONG_OUTPUT)
        gone = [f"{wrong} wrong gone"] if wrong else []
        if len(lost) > wrong or not wrong:
            gone.append(f"{len(lost) - wrong} redundant or impossible gone")
        parts.append(
            f"{call.name}: {len(call.configs)} → {len(plan.kept)} configs "
            f"({', '.join(gone)}, {new} new)"
        )
    return "; ".join(parts)
