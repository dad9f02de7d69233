"""One verdict: every check that can be made on a candidate's final text, by one function.

    verify(candidate, request, context) -> Verification

`check`, our own drafts, kept parents and what `optimize` writes all go through it, so nothing is
handed out that `check` refuses. What needs NumPy or LibCST (outputs, new configs) is imported where
it is used: a check without shapes should not wait for them (tests/cli/test_startup.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.analysis.wide_offsets import wide_only, wrapped_offsets, wraps
from warpwright.compiler.kernel_calls import find_calls
from warpwright.compiler.lowered_launches import lowered_launches
from warpwright.errors import InputError, Place
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.program.view import read_program
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, trace_program
from warpwright.types.answer import ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Candidate
from warpwright.types.config import Config
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import (
    NO_SHAPES,
    NOT_IN_TIME,
    AccuracyRun,
    CheckResult,
    EditLimits,
    Status,
    Verdict,
    Violation,
)
from warpwright.verifier.checks.beyond import check_beyond
from warpwright.verifier.checks.candidate_checks import judge_candidate
from warpwright.verifier.checks.format import check_format
from warpwright.verifier.checks.integrity import check_integrity
from warpwright.verifier.checks.names import check_names
from warpwright.verifier.launchable import configs_run, host_code_failed, offsets_wrap

GPU_SECTION = "# Target GPU"
NOT_RUN = "it was refused before it was run"
Wrong = Mapping[str, AbstractSet[Config]]
"""Kernel → configs whose output was shown to be wrong."""


@dataclass(frozen=True, slots=True)
class VerifyContext:
    """What is known of the parent, and what may be done to find out about the candidate.

    `parent`: its study (`study_request`), or what reading alone tells (`bare_study`,
    `no_parent`) where nothing more is known. `problem`: shapes and reference; None: neither.
    `parent_fails`: why the parent does not run, so that nothing can be compared with it.
    `missing`: the tool that this machine lacks, so that nothing is run. `accuracy` False
    interprets nothing, which is most of the time that a check takes. `wrong`: configs of the
    parent that are known to compute something else already; they are found out where needed.
    `limits`: what edits beyond the stage must keep besides being accurate.
    """

    parent: Study
    run_context: RunContext
    problem: Problem | None = None
    accuracy: bool = True
    limits: EditLimits = field(default_factory=EditLimits)
    wrong: Wrong = field(default_factory=dict)
    parent_fails: str | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict, and what came to be known of the candidate on the way to it.

    `kernels`: what its configs compile to, by kernel; empty where nothing was compiled.
    `accuracy`: which configs failed, and how the parent's own differ.
    """

    gate: Verdict
    kernels: Mapping[str, KernelStudy] = field(default_factory=dict)
    trace: Trace | None = None
    accuracy: AccuracyRun = field(default_factory=lambda: AccuracyRun.unknown(NOT_RUN))

    @property
    def failing(self) -> dict[str, set[Config]]:
        """Kernel → configs whose output is wrong."""
        return {kernel: set(configs) for kernel, configs in self.accuracy.failing.items()}

    @property
    def in_time(self) -> bool:
        """Whether no part of it was left open by the time limit."""
        return not any(NOT_IN_TIME in note for r in self.gate.results for note in r.notes)

    @property
    def refused(self) -> bool:
        return self.gate.status is Status.FAIL


def verify(candidate: Candidate, request: Request | None, context: VerifyContext) -> Verification:
    """Every check that can be made on `candidate.program`: format, names, rules, integrity,
    resources on the target, accuracy, and a spot check at full size beside a parent that runs, in
    this order.

    `request` None: the program replaces none and keeps no rules (`optimize`). Lines are those
    of the program. What could not be checked is "not verified", with the reason. Raises
    MissingToolError where Triton is missing, unless `context.missing` says so already.
    """
    asked = _question(candidate, request, context)
    known = context.run_context.known.get(asked)
    if known is not None:
        found: Verification = known[0]
        return found
    child, broken = _read(candidate.program)
    if child is None:
        return Verification(Verdict((broken,)))
    if context.missing is not None:
        gate = _judged(request, context, child, {}, None)
        nothing = AccuracyRun.unknown(f"{context.missing}: nothing was run").result
        gate = _with_beyond(replace(gate, results=(*gate.results, nothing)), context)
        return Verification(gate)
    before = _before_running(candidate, request, context, child)
    found = _run(request, context, child, before, moved=bool(candidate.moves))
    if found.in_time:
        # With what the key goes by, so that it stays what it was.
        context.run_context.known[asked] = (found, context.parent, request)
    return found


def _question(
    candidate: Candidate, request: Request | None, context: VerifyContext, part: str = ""
) -> Hashable:
    """What a verdict depends on, besides the time."""
    wrong = frozenset((kernel, frozenset(configs)) for kernel, configs in context.wrong.items())
    more = (context.parent_fails, context.missing, repr(context.problem))
    how = (part, part or (context.accuracy, bool(candidate.moves)), context.limits, wrong, *more)
    return (candidate.program, id(request), id(context.parent), *how)


def _before_running(
    candidate: Candidate, request: Request | None, context: VerifyContext, child: ProgramView
) -> Verification:
    """All that reading and compiling tell. Known where the same text was looked at before, be it
    without accuracy; but not where a verdict on its lists may hang on that."""
    asked = _question(candidate, request, context, "before it is run")
    known = context.run_context.known.get(asked)
    if known is not None:
        found: Verification = known[0]
        return found
    kernels, resources, trace = _studied(child, context)
    if context.parent_fails is not None:
        why = f"the request's program fails, so nothing is compared with it: {context.parent_fails}"
        resources = replace(resources, notes=(why, *resources.notes))
    gate = _judged(request, context, child, kernels, trace)
    gate = replace(gate, results=(*gate.results, resources))
    found = Verification(gate, kernels, trace)
    if found.in_time and gate.status is not Status.FAIL:
        context.run_context.known[asked] = (found, context.parent, request)
    return found


def _run(
    request: Request | None,
    context: VerifyContext,
    child: ProgramView,
    before: Verification,
    moved: bool,
) -> Verification:
    """The whole verdict, with accuracy as far as it is asked for. `moved`: by moves, whose claims
    are about the parent's outputs under the same config."""
    gate, kernels, trace = before.gate, before.kernels, before.trace
    if context.limits.strict:
        gate = _with_beyond(gate, context)
    if gate.status is Status.FAIL:  # what reading and compiling refuse is not run
        return Verification(gate, kernels, trace)
    run = AccuracyRun.unknown("not asked for")
    if context.accuracy:
        beside = moved or bool(gate.beyond_stage)
        run = _accuracy(request, context, child, kernels, trace, beside=beside)
        results: tuple[CheckResult, ...] = (run.result,)
        if _beside_parent(request, context) and context.parent.trace is not None:
            from warpwright.verifier.spot_check import with_full_size

            results = with_full_size(
                run.result, context.parent, child, kernels, context.run_context, trace
            )
        gate = replace(gate, results=(*gate.results, *results), accuracy_cases=run.cases)
    if gate.status is not Status.FAIL:  # of a wrong output nothing more needs to be said
        gate = _with_beyond(gate, context)
    return Verification(gate, kernels, trace, run)


def _with_beyond(gate: Verdict, context: VerifyContext) -> Verdict:
    """The report with the verdict on edits beyond the stage, where there are any."""
    beyond = check_beyond(gate.beyond_stage, gate.accuracy_cases, context.limits)
    results = gate.results if beyond is None else (*gate.results, beyond)
    return replace(gate, results=results, limits=context.limits)


def bare_study(request: Request, gpu: ResolvedGpu | None = None) -> Study:
    """What is known of a request's program by reading alone."""
    if gpu is None:
        gpu = resolve_gpu(request.gpu, place=Place(request.document, GPU_SECTION))
    view = read_program(request.program, document=request.document, first_line=request.program_line)
    return Study(gpu=gpu, view=view, kernels=())


def no_parent(gpu: ResolvedGpu) -> Study:
    """The parent of a program that replaces none."""
    return Study(gpu=gpu, view=read_program(""), kernels=())


def _read(program: str) -> tuple[ProgramView | None, CheckResult]:
    """The program's view, or the violation that there is none to read."""
    try:
        return read_program(program), CheckResult("format", Status.PASS)
    except InputError as error:
        found = error.what if error.got is None else f"{error.what}: {error.got}"
        expected = error.expected or "a Python program"
        violation = Violation("format.syntax", error.place.line, expected, found)
        return None, CheckResult("format", Status.FAIL, (violation,))


def _studied(
    child: ProgramView, context: VerifyContext
) -> tuple[dict[str, KernelStudy], CheckResult, Trace | None]:
    """The candidate's configs compiled, the check that each can run on the target, its trace."""
    parent, run_context = context.parent, context.run_context
    trace, traced = None, None
    if context.problem is not None:
        run_context.listener("trace", "tracing the candidate's launches")
        made = trace_program(
            child.source,
            context.problem,
            gpu=parent.gpu.sheet,
            cache=run_context.cache,
            deadline=run_context.deadline,
        )
        if isinstance(made, TraceFailed):
            traced = host_code_failed(made)
            if traced.status is Status.FAIL:
                return {}, traced, None
        else:
            trace = made
    calls, unknown = find_calls(child, trace, parent.known)
    subject = Subject(child.source)
    kernels = {
        c.name: study_kernel(c, c.configs, subject, parent.gpu.sheet, run_context) for c in calls
    }
    resources = configs_run(child, kernels, parent, trace)
    resources = replace(resources, notes=(*unknown, *resources.notes))
    resources = _with_offsets(resources, child, calls, context)
    return kernels, resources if traced is None else _joined(traced, resources), trace


def _with_offsets(
    resources: CheckResult, child: ProgramView, calls: Sequence[KernelCalls], context: VerifyContext
) -> CheckResult:
    """The check, failed where the candidate reads or writes by offsets that wrap."""
    parent, run_context = context.parent, context.run_context
    lowered = lowered_launches(
        wide_only(calls), child.source, parent.gpu.sheet, run_context.cache, run_context.deadline
    )
    inherited = {kernel.kernel for kernel in parent.kernels if wraps(kernel)}
    violations = offsets_wrap(child, wrapped_offsets(lowered), inherited)
    if not violations:
        return resources
    return replace(resources, status=Status.FAIL, violations=(*resources.violations, *violations))


def _joined(traced: CheckResult, compiled: CheckResult) -> CheckResult:
    """A trace that says nothing, and what compiling by the source alone tells all the same."""
    status = Status.FAIL if compiled.status is Status.FAIL else traced.status
    return replace(compiled, status=status, notes=(*traced.notes, *compiled.notes))


def _judged(
    request: Request | None,
    context: VerifyContext,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    trace: Trace | None,
) -> Verdict:
    """Format, names, rules and integrity; again with the parent's wrong configs known, where
    a list that leaves some out is refused without that."""
    parent = context.parent
    if request is None:
        checks = (check_format(parent.view, child), check_names(parent.view, child))
        return Verdict((*checks, check_integrity(parent.view, child, None, trace)))
    gate, plans = _by_lists(request, context, child, kernels, context.wrong, trace)
    broken = {violation.rule for violation in gate.violations}
    if not plans or broken - _OF_LISTS or not broken or context.wrong:
        return gate
    wrong = _shown_wrong(request, context, plans)
    return _by_lists(request, context, child, kernels, wrong, trace)[0] if wrong else gate


def _by_lists(
    request: Request,
    context: VerifyContext,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    wrong: Wrong,
    trace: Trace | None,
) -> tuple[Verdict, tuple[ConfigPlan, ...]]:
    """The report, and what the rules would propose where a list's length is in question."""
    parent = context.parent
    gate = judge_candidate(request, parent, child, kernels, frozenset(), wrong, trace)
    broken = {violation.rule for violation in gate.violations}
    if not (broken & _OF_LISTS and kernels and parent.calls):
        return gate, ()
    from warpwright.proposers.configs.plan import propose

    plans = propose(request, parent, context.run_context)[0]
    short = _exhausted(request, plans, kernels, wrong)
    if short:
        gate = judge_candidate(request, parent, child, kernels, short, wrong, trace)
    return gate, plans


_OF_LISTS = frozenset({"configs.count", "configs.keep_original", "configs.include"})
"""Rules on how many configs a list has, and which of the parent's are in it."""


def _exhausted(
    request: Request, plans: Sequence[ConfigPlan], kernels: Mapping[str, KernelStudy], wrong: Wrong
) -> frozenset[str]:
    """Kernels of a short config list for which the rules allow no further distinct config."""
    least = TuningRules.of(request.stage.rules).count_min or 0
    short = {k.kernel for k in kernels.values() if k.autotuned and len(k.configs) < least}
    return frozenset(
        plan.kernel
        for plan in plans
        if plan.kernel in short
        and not plan.left_alone
        and len(set(plan.kept) - wrong.get(plan.kernel, set())) < least
    )


def _shown_wrong(
    request: Request, context: VerifyContext, plans: Sequence[ConfigPlan]
) -> dict[str, set[Config]]:
    """Configs of the parent, and of those that the rules would add, whose output is wrong."""
    parent, run_context = context.parent, context.run_context
    if not context.accuracy or context.problem is None or parent.trace is None:
        return {}
    from warpwright.proposers.configs.emit import emit_plans
    from warpwright.verifier.accuracy import verify_accuracy

    run_context.listener("accuracy", "finding out whether configs that are left out are wrong")
    planned = emit_plans(request.program, list(zip(plans, parent.calls, strict=True)))
    found: dict[str, set[Config]] = {}
    for source in dict.fromkeys((request.program, planned)):
        view = read_program(source)
        run = verify_accuracy(parent, view, _listed(view, parent), run_context)
        for kernel, configs in run.failing.items():
            found.setdefault(kernel, set()).update(configs)
    return found


def _listed(view: ProgramView, parent: Study) -> dict[str, KernelStudy]:
    """The parent's kernels, as far as they are also the view's; its own lists are as written."""
    return {kernel.kernel: kernel for kernel in parent.kernels if view.kernel(kernel.kernel)}


def _accuracy(
    request: Request | None,
    context: VerifyContext,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    trace: Trace | None,
    *,
    beside: bool,
) -> AccuracyRun:
    """The outputs beside the parent's (`beside`: config by config); by themselves where there is
    no parent that runs."""
    compared = _beside_parent(request, context)
    run = context.parent
    if not compared:
        own = tuple(kernels.values())
        run = replace(run, view=child, kernels=own, problem=context.problem, trace=trace)
    if run.problem is None or run.trace is None:
        return AccuracyRun.unknown(NO_SHAPES)
    from warpwright.verifier.accuracy import verify_accuracy, verify_alone

    if compared:
        return verify_accuracy(run, child, kernels, context.run_context, beside=beside, trace=trace)
    return verify_alone(run, context.run_context)


def _beside_parent(request: Request | None, context: VerifyContext) -> bool:
    """Whether there is a parent that runs."""
    return request is not None and context.parent_fails is None
