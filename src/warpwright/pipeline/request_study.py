"""What is known of a request's program on its GPU: answers and checks begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.analysis.profile_check import toolchain_finding
from warpwright.analysis.study_program import Subject, read_view, study_program
from warpwright.errors import Place
from warpwright.formats.kernelbench import stated_problem
from warpwright.formats.nsight import check_profile_kernels, foreign_kernels, retired_metrics
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.store.run_context import RunContext
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import Finding, Study
from warpwright.verifier.verify import GPU_SECTION


def expect_readable(request: Request, problem: Problem | None) -> Problem | None:
    """The problem that a request is studied with, once its program and profile can be read.

    Raises InputError where they cannot.
    """
    names = [kernel.name for kernel in read_view(_subject(request)).kernels]
    check_profile_kernels(request.profile, names, document=request.document)
    if problem is None and request.problem is not None:
        return stated_problem(request.problem, "the request's [PROBLEM] section")
    return problem


def _subject(request: Request) -> Subject:
    return Subject(request.program, request.document, request.program_line)


def study_request(
    request: Request,
    run_context: RunContext,
    problem: Problem | None,
    gpu: ResolvedGpu | None = None,
) -> tuple[Study, Problem | None]:
    """The study of a request's program, and the problem that was used.

    `gpu` stands in for the request's own GPU.
    """
    problem = expect_readable(request, problem)
    if gpu is None:
        gpu = resolve_gpu(request.gpu, place=Place(request.document, GPU_SECTION))
    subject = _subject(request)
    names = [kernel.name for kernel in read_view(subject).kernels]
    study = study_program(subject, gpu, run_context, problem=problem, profile=request.profile)
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
