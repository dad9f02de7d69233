"""`check`: a reply to a request before the whole gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.accuracy import not_verified, verify_alone
from warpwright.calls import find_calls
from warpwright.drafting import exhausted, with_accuracy
from warpwright.errors import BrokenProgramError, InputError, MissingToolError, Place
from warpwright.formats.reply import Reply
from warpwright.judging import judge_candidate
from warpwright.lowered_launches import lowered_launches
from warpwright.proposers.tuning_rules import TuningRules
from warpwright.proposing import propose
from warpwright.resources.gpus import resolve_gpu
from warpwright.runnable import configs_run, host_code_failed, offsets_wrap
from warpwright.sandbox.trace import TraceFailed, trace_program
from warpwright.source.view import read_program
from warpwright.specialist import GPU_SECTION, study_request
from warpwright.study import Subject, Workbench, study_kernel
from warpwright.types.calls import KernelCalls
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import KernelStudy, Study
from warpwright.types.trace import Trace
from warpwright.types.verdict import CheckResult, GateReport, Status, Violation
from warpwright.wide_offsets import wide_only, wrapped_offsets, wraps


def check_reply(
    request: Request,
    reply: Reply,
    bench: Workbench,
    problem: Problem | None = None,
    *,
    accuracy: bool = True,
) -> GateReport:
    """Every check on a reply. Where Triton is missing, what needs it is "not verified".

    Lines of violations are those of the reply as given. `accuracy=False` interprets nothing,
    which is most of the time that a check takes.
    """
    child, broken = _read(reply)
    if child is None:
        return GateReport((broken,))
    try:
        parent, problem = study_request(request, bench, problem)
    except MissingToolError as error:
        gate = judge_candidate(request, bare_study(request), child, {})
        results = (*gate.results, not_verified(f"{error.what}: nothing was run"))
        return _in_reply_lines(replace(gate, results=results), reply)
    except BrokenProgramError as error:
        gate = _without_parent(request, child, error, bench, problem, accuracy=accuracy)
        return _in_reply_lines(gate, reply)
    kernels, resources, trace = _study_child(child, parent, bench, problem)
    short = _exhausted(request, parent, kernels, bench)
    gate = judge_candidate(request, parent, child, kernels, short, trace=trace)
    gate = replace(gate, results=(*gate.results, resources))
    if accuracy:
        gate, _ = with_accuracy(gate, parent, child, kernels, bench)
    return _in_reply_lines(gate, reply)


def _without_parent(
    request: Request,
    child: ProgramView,
    error: BrokenProgramError,
    bench: Workbench,
    problem: Problem | None,
    *,
    accuracy: bool,
) -> GateReport:
    """The gate where the request's program does not run: its text is compared, not what it does."""
    parent = bare_study(request)
    if problem is None and request.problem is not None:
        problem = Problem(source=request.problem, origin="the request's [PROBLEM] section")
    kernels, resources, trace = _study_child(child, parent, bench, problem)
    told = f"the request's program fails, so nothing is compared with it: {error.what}"
    resources = replace(resources, notes=(told, *resources.notes))
    gate = judge_candidate(request, parent, child, kernels, trace=trace)
    gate = replace(gate, results=(*gate.results, resources))
    if not accuracy or gate.status is Status.FAIL:
        return gate
    alone = replace(
        parent, view=child, kernels=tuple(kernels.values()), problem=problem, trace=trace
    )
    run = verify_alone(alone, bench)
    return replace(gate, results=(*gate.results, run.result), accuracy_cases=run.cases)


def _read(reply: Reply) -> tuple[ProgramView | None, CheckResult]:
    """The reply's program, or the violation that there is none to read."""
    try:
        return read_program(reply.program), CheckResult("format", Status.PASS)
    except InputError as error:
        line = None if error.place.line is None else error.place.line + reply.program_line - 1
        found = error.what if error.got is None else f"{error.what}: {error.got}"
        violation = Violation("format.syntax", line, error.expected or "a Python program", found)
        return None, CheckResult("format", Status.FAIL, (violation,))


def bare_study(request: Request) -> Study:
    """What is known of a request's program by reading alone."""
    gpu = resolve_gpu(request.gpu, place=Place(request.document, GPU_SECTION))
    view = read_program(request.program, document=request.document, first_line=request.program_line)
    return Study(gpu=gpu, view=view, kernels=())


def _study_child(
    child: ProgramView, parent: Study, bench: Workbench, problem: Problem | None
) -> tuple[dict[str, KernelStudy], CheckResult, Trace | None]:
    """The reply's configs compiled, the check that each can run on the target, and the trace."""
    trace, traced = None, None
    if problem is not None:
        bench.listener("trace", "tracing the reply's launches")
        made = trace_program(
            child.source,
            problem,
            gpu=parent.gpu.sheet,
            cache=bench.cache,
            deadline=bench.deadline,
        )
        if isinstance(made, TraceFailed):
            traced = host_code_failed(made)
            if traced.status is Status.FAIL:
                return {}, traced, None
        else:
            trace = made
    calls, unknown = find_calls(child, trace, parent.known)
    subject = Subject(child.source)
    kernels = {c.name: study_kernel(c, c.configs, subject, parent.gpu.sheet, bench) for c in calls}
    resources = configs_run(child, kernels, parent, trace)
    resources = replace(resources, notes=(*unknown, *resources.notes))
    resources = _with_offsets(resources, child, calls, parent, bench)
    return kernels, resources if traced is None else _joined(traced, resources), trace


def _with_offsets(
    resources: CheckResult,
    child: ProgramView,
    calls: Sequence[KernelCalls],
    parent: Study,
    bench: Workbench,
) -> CheckResult:
    """The check, failed where the reply reads or writes by offsets that wrap."""
    lowered = lowered_launches(
        wide_only(calls), child.source, parent.gpu.sheet, bench.cache, bench.deadline
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


def _exhausted(
    request: Request, parent: Study, kernels: Mapping[str, KernelStudy], bench: Workbench
) -> frozenset[str]:
    """Kernels of a short config list for which the rules allow no further distinct config."""
    least = TuningRules.of(request.stage.rules).count_min or 0
    if all(len(kernel.configs) >= least or not kernel.autotuned for kernel in kernels.values()):
        return frozenset()
    return exhausted(request, propose(request, parent, bench)[0])


def _in_reply_lines(gate: GateReport, reply: Reply) -> GateReport:
    """Lines of the program told as lines of the reply around it."""
    shift = reply.program_line - 1
    if shift == 0:
        return gate
    results = tuple(
        replace(
            result,
            violations=tuple(
                v if v.line is None else replace(v, line=v.line + shift) for v in result.violations
            ),
        )
        for result in gate.results
    )
    return replace(gate, results=results)
