"""Accuracy of a candidate without a GPU: small inputs, reference, interpreter, verdict.

The reference and each program run in children of their own; the verdict is the gate's, on
arrays. Configs that differ in warps and stages alone are one to the interpreter, so each set of
meta-parameters runs once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from warpwright.gate.accuracy import CHECK, NO_SHAPES, conclude, judge_outputs
from warpwright.gate.against import WRONG_L2
from warpwright.sandbox.compile_pool import usable_workers
from warpwright.sandbox.interpret import Interpretation, InterpretRun, interpret
from warpwright.sandbox.reference import Reference, Unavailable, make_reference
from warpwright.sandbox.shrink import ShrunkenInputs, plan_shrunken_inputs
from warpwright.sandbox.trace import device_facts
from warpwright.study import Workbench
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.program import ProgramView
from warpwright.types.study import KernelStudy, Study
from warpwright.types.trace import ConstantArgument, Trace
from warpwright.types.verdict import AccuracyCase, CheckResult, Status

# Any fixed number: the reference is compared, not remembered, and equal runs give equal records.
SEED = 20_231
LARGEST_TILE = 4096
PROBLEM = "problem"


Task = tuple[str, Sequence["PinnedRun"], Sequence[str]]
"""A program's source, its pinned runs, the kinds of data to run each on."""


@dataclass(frozen=True, slots=True)
class AccuracyRun:
    """The verdict, each case, and the configs that failed, by kernel."""

    result: CheckResult
    cases: tuple[AccuracyCase, ...] = ()
    failing: Mapping[str, set[Config]] = field(default_factory=dict)
    differing: tuple[str, ...] = ()  # which of the parent's own configs give another output
    relies_on_sizes: bool = False
    """On these sizes the parent (or the program alone) leaves its tensors, and that matters."""


@dataclass(frozen=True, slots=True)
class PinnedRun:
    """One set of pinned configs: `members` are the configs it stands for."""

    label: str
    pins: Mapping[str, Config]
    kernel: str | None = None
    members: tuple[Config, ...] = ()


def not_verified(reason: str) -> CheckResult:
    """Accuracy that could not be judged, and why. Never a pass."""
    return CheckResult(CHECK, Status.NOT_VERIFIED, notes=(reason,))


def verify_accuracy(
    parent: Study, child: ProgramView, kernels: Mapping[str, KernelStudy], bench: Workbench
) -> AccuracyRun:
    """Run every config that `child` lists on small inputs and judge the outputs.

    `kernels` holds the configs of each kernel of the child. Without a problem: not verified.
    """
    return _verified(parent, child, kernels, bench, alone=False)


def verify_alone(study: Study, bench: Workbench) -> AccuracyRun:
    """The same for a program that replaces no other: by the reference and the policy alone."""
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    return _verified(study, study.view, kernels, bench, alone=True)


def _verified(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    *,
    alone: bool,
) -> AccuracyRun:
    if parent.problem is None or parent.trace is None:
        return AccuracyRun(not_verified(NO_SHAPES))
    run = _on_small_inputs(parent, child, kernels, bench, alone=alone, aligned=1)
    tile = largest_tile(parent.trace)
    if not run.relies_on_sizes or tile == 1:
        return run
    # A program without masks relies on sizes that its tiles divide.
    again = _on_small_inputs(parent, child, kernels, bench, alone=alone, aligned=tile)
    return again if again.cases else run


def largest_tile(trace: Trace) -> int:
    """The largest power of two among the compile-time arguments of a trace; 1 without any."""
    values = [
        value
        for launch in trace.launches
        for value in (
            *(a.value for a in launch.arguments.values() if isinstance(a, ConstantArgument)),
            *(value for config in launch.configs for _, value in config.config.meta),
        )
    ]
    sizes = [v for v in values if type(v) is int and 1 < v <= LARGEST_TILE and v & (v - 1) == 0]
    return max(sizes, default=1)


def _on_small_inputs(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    *,
    alone: bool,
    aligned: int,
) -> AccuracyRun:
    assert parent.problem is not None and parent.trace is not None
    bench.listener("accuracy", "choosing small inputs on which every kernel runs")
    plan = plan_shrunken_inputs(
        parent.view.source,
        parent.problem,
        parent.trace,
        gpu=parent.gpu.sheet,
        cache=bench.cache,
        aligned=aligned,
        deadline=bench.deadline,
    )
    if not isinstance(plan, ShrunkenInputs):
        return AccuracyRun(not_verified(f"no small inputs: {plan.reason}"))
    with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
        bench.listener("accuracy", "computing the fp64 reference")
        reference = make_reference(
            parent.problem,
            plan.inputs,
            Path(name),
            seed=SEED,
            init=plan.init,
            evaluation_mode=parent.trace.evaluation_mode,
            cache=bench.cache,
            deadline=bench.deadline,
        )
        if isinstance(reference, Unavailable):
            return AccuracyRun(not_verified(reference.reason))
        return _judge(parent, child, kernels, reference, bench, alone=alone)


def _judge(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    reference: Reference,
    bench: Workbench,
    *,
    alone: bool,
) -> AccuracyRun:
    base = {kernel.kernel: kernel.usual for kernel in parent.kernels}
    pinned = pinned_runs(child, kernels, base)
    cases = [case.name for case in reference.cases]
    bench.listener(
        "accuracy", f"running {len(pinned)} distinct configs in the interpreter, "
        f"{len(cases)} kinds of data"
    )  # fmt: skip
    # The first config sees every kind of data, the others the problem's own; parent and
    # candidate run side by side, each in processes of its own.
    tasks: list[Task] = [
        (parent.view.source, [] if alone else [PinnedRun("parent", base)], cases),
        (child.source, pinned[:1], cases),
        (child.source, pinned[1:], cases[:1]),
    ]

    def perform(task: Task) -> tuple[Interpretation, ...]:
        source, runs, kinds = task
        return _interpret(source, runs, kinds, reference, parent.gpu.sheet, bench)

    with ThreadPoolExecutor(max_workers=usable_workers()) as pool:
        theirs, *ours_by_task = pool.map(perform, tasks)
    ours = [run for runs in ours_by_task for run in runs]
    required = () if parent.trace is None else parent.trace.kernels

    def verdicts(of_parent: Sequence[Interpretation]) -> tuple[AccuracyCase, ...]:
        return judge_outputs(
            ours,
            of_parent,
            reference.cases,
            required_kernels=required,
            parent_source="" if alone else parent.view.source,
        )

    judged = verdicts(theirs)
    suspects = [run for run in pinned if run.label in _failed(judged)]
    originals = [run for run in suspects if not alone and _is_original(run, parent)]
    if originals:
        # An original may be wrong in the parent already: run the parent with the same pins.
        judged = verdicts((*theirs, *perform((parent.view.source, originals, cases))))
    concluded = _concluded(judged, pinned, originals, _label(base))
    outside = {event.access for run in theirs or ours for event in run.memory_events}
    unclear = bool(outside) and concluded.result.status is not Status.PASS
    return replace(concluded, relies_on_sizes="write" in outside or unclear)


def _concluded(
    judged: tuple[AccuracyCase, ...],
    pinned: Sequence[PinnedRun],
    suspects: Sequence[PinnedRun],
    usual: str,
) -> AccuracyRun:
    """One result of all cases. `suspects`: originals that differ from the parent's `usual` config;
    those that are not wrong all the same are told."""
    failed = _failed(judged) | _wrong_as_the_parent(judged)
    failing: dict[str, set[Config]] = {}
    for run in pinned:
        if run.label in failed and run.kernel is not None:
            failing.setdefault(run.kernel, set()).update(run.members)
    differing = tuple(
        f"{run.label} gives another than {usual}" for run in suspects if run.label not in failed
    )
    result = conclude(judged)
    result = replace(result, notes=(*result.notes, *differing))
    return AccuracyRun(result, judged, failing, differing)


def _failed(cases: Sequence[AccuracyCase]) -> set[str]:
    return {case.config for case in cases if case.gating and case.status is Status.FAIL}


def _wrong_as_the_parent(cases: Sequence[AccuracyCase]) -> set[str]:
    """Configs whose output is wrong by the reference, although the parent's is wrong alike."""
    return {
        case.config
        for case in cases
        if case.gating
        and case.policy_error is not None
        and case.error is not None
        and case.error.relative_l2 > WRONG_L2
        and case.parent_error is not None
        and case.parent_error.relative_l2 > WRONG_L2
    }


def _is_original(run: PinnedRun, parent: Study) -> bool:
    study = None if run.kernel is None else parent.kernel(run.kernel)
    metas = set() if study is None else {config.config.meta for config in study.configs}
    return any(member.meta in metas for member in run.members)


def pinned_runs(
    child: ProgramView, kernels: Mapping[str, KernelStudy], base: Mapping[str, Config]
) -> list[PinnedRun]:
    """One run for each distinct set of meta-parameters of each kernel, the usual one first."""
    listed = {kernel.name: _listed(kernel.name, child, kernels) for kernel in child.kernels}
    usual = {name: _closest(base.get(name), configs) for name, configs in listed.items() if configs}
    runs = [PinnedRun(_label(usual), usual)]
    for name, configs in listed.items():
        by_meta: dict[object, list[Config]] = {}
        for config in configs:
            by_meta.setdefault(config.meta, []).append(config)
        for meta, members in by_meta.items():
            if meta == usual[name].meta:
                if len(listed) == 1:
                    runs[0] = replace(runs[0], kernel=name, members=tuple(members))
                continue
            pins = {**usual, name: members[0]}
            runs.append(PinnedRun(_label(pins), pins, name, tuple(members)))
    return runs


def _listed(
    name: str, child: ProgramView, kernels: Mapping[str, KernelStudy]
) -> tuple[Config, ...]:
    """The configs that the program lists for a kernel: as written, else as studied.

    Those that can never run on the target compute nothing there, and are left out.
    """
    kernel, study = child.kernel(name), kernels.get(name)
    studied = () if study is None else study.configs
    listed = tuple(config.config for config in studied)
    if kernel is not None and kernel.autotune is not None and kernel.autotune.configs:
        listed = kernel.autotune.configs
    never = {config.config for config in studied if not config.launchable}
    return tuple(config for config in listed if config not in never) or listed


def _closest(wanted: Config | None, configs: Sequence[Config]) -> Config:
    if wanted is None:
        return configs[0]
    same = [config for config in configs if config.meta == wanted.meta]
    return (same or list(configs))[0]


def _label(pins: Mapping[str, Config]) -> str:
    if len(pins) == 1:
        return str(next(iter(pins.values())))
    return "; ".join(f"{name}: {config}" for name, config in pins.items()) or "as launched"


def _interpret(
    source: str,
    pinned: Sequence[PinnedRun],
    cases: Sequence[str],
    reference: Reference,
    sheet: GpuSheet,
    bench: Workbench,
) -> tuple[Interpretation, ...]:
    """Run a program with each set of pins on each kind of data, as on the target card."""
    major, minor = sheet.compute_capability
    return interpret(
        source,
        reference,
        [InterpretRun(case, run.pins, run.label) for run in pinned for case in cases],
        compute_capability=10 * major + minor,
        facts=device_facts(sheet),
        cache=bench.cache,
        deadline=bench.deadline,
    )
