"""Everything that can be known of a program on a GPU without running it there.

Reads the source, traces the launches, compiles each config, works out occupancy and the active
config, and gathers findings. `inspect` shows the result, the proposers act on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from warpwright.analysis.active_config import GRID_SIZE, infer_active
from warpwright.analysis.cause_case import CauseCase
from warpwright.analysis.causes import kernel_causes
from warpwright.analysis.findings import (
    by_weight,
    host_findings,
    kernel_findings,
    profile_disagreements,
)
from warpwright.analysis.findings_tuning import tuning_findings
from warpwright.analysis.padding import padded_configs
from warpwright.analysis.profile_check import resource_disagreements
from warpwright.analysis.varying_arguments import with_varying
from warpwright.analysis.wide_offsets import with_wrapped_offsets
from warpwright.compiler.compile import CompileRequest, compile_configs
from warpwright.compiler.kernel_calls import find_calls, launch_options, specializations_of
from warpwright.compiler.lowered_launches import LoweredLaunch, lowered_launches
from warpwright.costmodel.launch_work import with_floors
from warpwright.costmodel.launchability import unlaunchable
from warpwright.costmodel.occupancy import occupancy
from warpwright.costmodel.problem_floor import problem_floor
from warpwright.errors import BrokenProgramError, InputError, MissingToolError, Place
from warpwright.program.inductor import InductorKernel, inductor_kernels
from warpwright.program.parsed import parse_program
from warpwright.program.view import read_program
from warpwright.sandbox.toolchain import missing_module, not_installed, toolchain
from warpwright.store.run_context import RunContext
from warpwright.tracing.problem_work import problem_cost
from warpwright.tracing.symbolic import SymbolicLaunch, SymbolicTrace, trace_symbolic
from warpwright.tracing.trace import (
    TraceFailed,
    device_facts,
    import_program,
    trace_program,
)
from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import Compiled, CompileResult, Toolchain
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet, ResolvedGpu, SmLimits
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.request import Profile
from warpwright.types.shapes import Problem
from warpwright.types.study import CompiledView, ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import NOT_IN_TIME

INSTALL = "install it where Warpwright runs, or take the import out of the program"

# What helps where a trace, not the program, is at its end; by the kind of the failure.
NOT_TRACED = {
    "": (
        "this shows nothing wrong with the program: Warpwright follows its host code on stand-ins "
        "without a GPU; leave the problem out, and the kernels are studied without shapes"
    ),
    "DataDependentError": (
        "this shows nothing wrong with the program: values are computed from the problem's inputs, "
        "as far as no kernel is between; take what the host code needs from a shape or a Python "
        "number, or leave the problem out, and the kernels are studied without shapes"
    ),
    "UnknownHardwareError": (
        "this shows nothing wrong with the program: no sheet of the GPU has this fact; take a "
        "number instead, or leave the problem out, and the kernels are studied without shapes"
    ),
}
COMPILING_SHARE = 0.6  # of the time left: the rest is for running what was compiled


@dataclass(frozen=True, slots=True)
class Subject:
    """The program to study, and how its lines are told: those of `document` from `first_line`."""

    source: str
    document: str | None = None
    first_line: int = 1


def study_program(
    subject: Subject,
    gpu: ResolvedGpu,
    run_context: RunContext,
    *,
    problem: Problem | None = None,
    profile: Profile | None = None,
) -> Study:
    """Study a program on a GPU.

    Raises InputError for a program that has no kernel or does not run on the problem's inputs,
    MissingToolError where Triton is not installed.
    """
    tools = toolchain(gpu.sheet.compute_capability)
    view = read_view(subject)
    trace = None
    if problem is not None:
        run_context.listener("trace", "tracing the program's launches on the problem's inputs")
        trace = traced(subject, problem, gpu.sheet, run_context)
    symbolic = None if trace is not None else without_shapes(subject, gpu.sheet, run_context)
    known = symbolic.known if symbolic is not None else {}
    calls, unknown = find_calls(view, trace, known)
    if problem is not None and problem.others:
        calls = with_varying(calls, subject.source, problem, gpu.sheet, run_context)
    if symbolic is not None:
        unknown = (*unknown, *told_without_shapes(symbolic, calls, profile))
    compiled = [study_kernel(call, call.configs, subject, gpu.sheet, run_context) for call in calls]
    lowered: list[LoweredLaunch] = []
    if trace is not None:
        run_context.listener("roofline", "counting the work of each launch")
        lowered = lowered_launches(
            calls, subject.source, gpu.sheet, run_context.cache, run_context.deadline
        )
        compiled = list(with_floors(compiled, lowered, gpu.sheet))
    kernels = tuple(
        _completed(
            study, call, view, profile, tools, gpu.sheet, fits_grid_size(symbolic, call, profile)
        )
        for study, call in zip(compiled, calls, strict=True)
    )
    kernels = with_wrapped_offsets(kernels, lowered)
    cost = None
    if problem is not None:
        cost = problem_cost(problem, run_context.cache, gpu.sheet, run_context.deadline)
    roof = None if cost is None else problem_floor(cost, kernels, gpu.sheet)
    return Study(
        gpu=gpu,
        view=view,
        kernels=kernels,
        problem=problem,
        trace=trace,
        cost=cost,
        floor_us=None if roof is None else roof.floor_us,
        floor_bound=None if roof is None else roof.bound,
        floor_withdrawn=None if roof is None else roof.withdrawn,
        toolchain=tools,
        unknown=unknown,
        calls=calls,
        known=known,
        findings=host_findings(trace),
    )


def without_shapes(subject: Subject, sheet: GpuSheet, run_context: RunContext) -> SymbolicTrace:
    """What is certain of the launches although no shapes are given.

    Raises InputError for a program that cannot be imported, MissingToolError where it needs a
    module that is not installed here.
    """
    run_context.listener("trace", "no input shapes: finding out what does not depend on them")
    imported = import_program(subject.source, sheet, run_context.cache, run_context.deadline)
    missing = missing_module(imported.reason or "")
    if missing is not None:
        raise MissingToolError(not_installed(missing), hint=INSTALL)
    if not imported.ok:
        raise InputError(
            f"the program fails when it is imported: {imported.reason}",
            place=Place(subject.document, line=subject.first_line),
            hint="nothing of it can be compiled or traced; correct the program",
        )
    return trace_symbolic(
        subject.source, gpu=sheet, cache=run_context.cache, deadline=run_context.deadline
    )


def told_without_shapes(
    symbolic: SymbolicTrace, calls: Sequence[KernelCalls], profile: Profile | None
) -> tuple[str, ...]:
    """What the source determines, what the profile's grid then says, and what stays open."""
    if symbolic.reason is not None:
        return (symbolic.reason,)
    told = []
    for call in calls:
        launch = symbolic.launch(call.name)
        if launch is None:
            continue
        values = {**launch.known, **launch.assumed}
        if values:
            listed = ", ".join(f"{name} = {value}" for name, value in sorted(values.items()))
            told.append(f"{call.name}: the source settles {listed}")
        if launch.unknown:
            told.append(f"{call.name}: {', '.join(launch.unknown)} depend on the input shapes")
        told += _grid_constraints(call, launch, profile)
    return tuple(told)


def _grid_constraints(
    call: KernelCalls, launch: SymbolicLaunch, profile: Profile | None
) -> list[str]:
    """The profile's grid size as a condition on the sizes, for each config that it could be."""
    size = _grid_size(call.name, profile)
    if size is None:
        return []
    by_text: dict[str, list[Config]] = {}
    for config in call.configs:
        by_text.setdefault(launch.constraint(config, size).text, []).append(config)
    return [
        f"{call.name}: the profile's {size:,} blocks, a grid of {launch.grid_text()}, mean "
        f"{text} under {'; '.join(map(str, configs))}"
        for text, configs in by_text.items()
    ]


def _grid_size(kernel: str, profile: Profile | None) -> int | None:
    """The profile's number of blocks, where all profiled launches agree."""
    metrics = None if profile is None else profile.kernel(kernel)
    size = None if metrics is None else metrics.metric(GRID_SIZE)
    return None if size is None else int(size)


def fits_grid_size(
    symbolic: SymbolicTrace | None, call: KernelCalls, profile: Profile | None
) -> dict[Config, bool] | None:
    """Whether each config can give the profile's grid size at all; None: nothing to tell by."""
    launch = None if symbolic is None else symbolic.launch(call.name)
    size = _grid_size(call.name, profile)
    if launch is None or size is None:
        return None
    return {config: launch.constraint(config, size).possible for config in call.configs}


def read_view(subject: Subject) -> ProgramView:
    """The program's view; InputError where it has no kernel to speak of, or TorchInductor's own."""
    program = parse_program(
        subject.source, document=subject.document, first_line=subject.first_line
    )
    if written := inductor_kernels(program):
        raise written_by_inductor(written, subject)
    view = read_program(subject.source, document=subject.document, first_line=subject.first_line)
    if not view.kernels:
        raise InputError(
            "the program has no Triton kernel",
            place=Place(subject.document, line=subject.first_line),
            expected="at least one function decorated with @triton.jit",
        )
    return view


def written_by_inductor(kernels: Sequence[InductorKernel], subject: Subject) -> InputError:
    """What these files are, what stands in them, and the way out."""
    first = kernels[0]
    blocks = ", ".join(first.blocks) or "its options"
    return InputError(
        "this file was written by TorchInductor: its kernels are launched by torch's own tuner, "
        f"which makes up their configs ({blocks}, warps, stages) when they first run",
        place=Place(subject.document, line=subject.first_line + first.line - 1),
        expected="kernels under @triton.jit or @triton.autotune, launched as kernel[grid](…)",
        got="; ".join(map(str, kernels[:4])) + (" and more" if len(kernels) > 4 else ""),
        hint=(
            "copy the kernels into a file of your own: put @triton.autotune(configs=[…], key=[…]) "
            f"and @triton.jit above each in place of its heuristics, launch {first.as_launch()} "
            "from a function that allocates its outputs, and leave all imports of torch._inductor "
            "out; its size hints are the sizes to give by --input or --problem"
        ),
    )


def traced(subject: Subject, problem: Problem, sheet: GpuSheet, run_context: RunContext) -> Trace:
    """The trace, or an InputError that says why there is none."""
    result = trace_program(
        subject.source, problem, gpu=sheet, cache=run_context.cache, deadline=run_context.deadline
    )
    if isinstance(result, Trace):
        if not result.launches:
            raise BrokenProgramError(
                "the program launches no kernel on the problem's inputs",
                place=Place(subject.document),
                hint="a guard may send these inputs elsewhere",
            )
        return result
    raise trace_error(result, subject, problem)


def trace_error(
    failed: TraceFailed, subject: Subject, problem: Problem
) -> InputError | MissingToolError:
    """What a failed trace means to the user: which file, which line, why."""
    if failed.reason.startswith(NOT_IN_TIME):
        return InputError(
            "the time limit was over before the program's launches were traced",
            place=Place(subject.document),
            hint="give more time by --time-limit",
        )
    if failed.stage == "problem":
        place = Place(problem.origin, line=failed.line)
        hint = None
        if "ModuleNotFoundError" in failed.reason:
            hint = "install the module where Warpwright runs, or give shapes by --input instead"
        return InputError(f"the problem file fails: {failed.reason}", place=place, hint=hint)
    if failed.missing_module is not None:
        return MissingToolError(not_installed(failed.missing_module), hint=INSTALL)
    line = None if failed.line is None else subject.first_line + failed.line - 1
    if not failed.is_of_the_program:
        return InputError(
            f"Warpwright cannot trace the program's launches: {failed.reason}",
            place=Place(subject.document, line=line),
            hint=NOT_TRACED.get(failed.kind, NOT_TRACED[""]),
        )
    what = (
        "the program's host code fails"
        if failed.stage != "import"
        else ("the program fails when it is imported")
    )
    return BrokenProgramError(
        f"{what}: {failed.reason}",
        place=Place(subject.document, line=line),
        hint="its launches cannot be traced; correct the program or the problem's inputs",
    )


def study_kernel(
    calls: KernelCalls,
    configs: Sequence[Config],
    subject: Subject,
    sheet: GpuSheet,
    run_context: RunContext,
) -> KernelStudy:
    """Compile configs of a kernel for each way it is called, with what follows from that."""
    requests = [
        CompileRequest(specialization, config, launch_options(calls))
        for config in configs
        for specialization in specializations_of(calls, config)
    ]
    done = 0

    def tell(result: CompileResult) -> None:
        nonlocal done
        done += 1
        state = "" if isinstance(result, Compiled) else f": {result.reason}"
        run_context.listener(
            "compile", f"compiled {calls.name} {done}/{len(requests)}: {result.config}{state}"
        )

    results = iter(
        compile_configs(
            subject.source,
            requests,
            compute_capability=sheet.compute_capability,
            facts=device_facts(sheet),
            cache=run_context.cache,
            workers=run_context.workers,
            binaries=run_context.binaries,
            progress=tell,
            deadline=None
            if run_context.deadline is None
            else run_context.deadline.part(COMPILING_SHARE),
        )
    )
    studies = []
    for config in configs:
        views = tuple(_view(next(results), sheet.limits) for _ in specializations_of(calls, config))
        grid = calls.grid(config)
        studies.append(
            ConfigStudy(config, views, grid=grid, blocks=None if grid is None else _product(grid))
        )
    return KernelStudy(
        kernel=calls.name,
        autotuned=calls.autotuned,
        configs=_classified(studies),
        specializations=tuple(view.result.specialization for view in studies[0].compiled)
        if studies
        else (),
        pruned=calls.pruned,
    )


def _product(grid: tuple[int, ...]) -> int:
    total = 1
    for extent in grid:
        total *= extent
    return total


def _view(result: CompileResult, limits: SmLimits) -> CompiledView:
    if not isinstance(result, Compiled):
        return CompiledView(result)
    used = result.resources
    fits = occupancy(limits, used.registers_per_thread, used.shared_bytes, used.threads_per_block)
    return CompiledView(result, fits, unlaunchable(used, limits))


def _classified(studies: Sequence[ConfigStudy]) -> tuple[ConfigStudy, ...]:
    """Number the classes of equal binaries in order of appearance."""
    numbers: dict[tuple[str, ...], int] = {}
    return tuple(
        study
        if study.identity is None
        else replace(study, cubin_class=numbers.setdefault(study.identity, len(numbers)))
        for study in studies
    )


def _completed(
    study: KernelStudy,
    calls: KernelCalls,
    view: ProgramView,
    profile: Profile | None,
    tools: Toolchain,
    sheet: GpuSheet,
    possible: dict[Config, bool] | None,
) -> KernelStudy:
    """The study with the active config told, findings and causes."""
    metrics = None if profile is None else profile.kernel(study.kernel)
    grids = [site.grid for site in view.launches if site.kernel == study.kernel]
    padded = padded_configs(view.source, study.kernel, calls.launches, grids)
    inference = infer_active(study, calls.launches, metrics, possible, sheet, padded)
    configs = tuple(
        replace(config, activity=inference.activity(config.config)) for config in study.configs
    )
    study = replace(study, configs=configs, active_reason=inference.reason)
    differing = resource_disagreements(study, metrics, sheet)
    disagreements = profile_disagreements(study.kernel, (*inference.findings, *differing), tools)
    listed = len(study.configs) + len(study.pruned)
    findings = kernel_findings(calls.source, study, metrics, sheet)
    findings += tuning_findings(calls.source, view, calls.launches, sheet, listed)
    helpers = tuple(kernel for kernel in view.kernels if kernel.is_helper)
    causes = kernel_causes(CauseCase(calls.source, study, sheet, metrics, helpers))
    return replace(study, findings=by_weight((*findings, *disagreements)), causes=causes)
