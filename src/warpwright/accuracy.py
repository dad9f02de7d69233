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
from functools import partial
from pathlib import Path

from warpwright.gate.accuracy import CHECK, NO_SHAPES, conclude, judge_outputs
from warpwright.gate.against import PARENT_BREAKS, WRONG_L2
from warpwright.gate.branches import unrun_branches
from warpwright.gate.undefined import depends_on_undefined, inherited, undefined_notes
from warpwright.sandbox.compile_pool import usable_workers
from warpwright.sandbox.interpret import Interpretation, InterpretRun, interpret
from warpwright.sandbox.reference import DISTRIBUTIONS, Reference, Unavailable, make_reference
from warpwright.sandbox.shrink import Init, ShrunkenInputs, plan_shrunken_inputs
from warpwright.sandbox.sizes import FEW, FurtherSets, InputSet, plan_further_sets
from warpwright.sandbox.trace import device_facts
from warpwright.source.branch_sites import Outcome
from warpwright.source.difference import difference
from warpwright.study import Workbench
from warpwright.types.config import Config
from warpwright.types.edit import EditKind
from warpwright.types.gpu import GpuSheet
from warpwright.types.program import ProgramView
from warpwright.types.shapes import TensorSpec
from warpwright.types.study import KernelStudy, Study
from warpwright.types.trace import ConstantArgument, Trace
from warpwright.types.verdict import NOT_IN_TIME, AccuracyCase, CheckResult, Status

# Any fixed number: the reference is compared, not remembered, and equal runs give equal records.
SEED = 20_231
LARGEST_TILE = 4096
PROBLEM = "problem"
FURTHER_SHARE = 0.5  # of the time left; the rest is for the check at full size
FURTHER_S = 5.0  # with less left no further set is begun
FURTHER_KINDS = ("problem", "normal")  # of data, on further sets of sizes
# Edits that leave to every config the code and the tiles that it had.
SAME_CODE = frozenset({
    EditKind.CONFIG_ADDED, EditKind.CONFIG_REMOVED, EditKind.CONFIGS_REORDERED,
    EditKind.LAUNCH_OPTIONS, EditKind.COSMETIC,
})  # fmt: skip


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
    first: ShrunkenInputs | None = None
    ways: frozenset[Outcome] = frozenset()  # which the candidate's branches took


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
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    *,
    beside: bool = False,
) -> AccuracyRun:
    """Run every config that `child` lists on small inputs and judge the outputs.

    `kernels` holds the configs of each kernel of the child. Without a problem: not verified.
    `beside`: run the parent too under each config that both have, so that each output is compared
    with the parent's own under that config; else with its usual one.
    """
    return _verified(parent, child, kernels, bench, alone=False, beside=beside)


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
    beside: bool = False,
) -> AccuracyRun:
    if parent.problem is None or parent.trace is None:
        return AccuracyRun(not_verified(NO_SHAPES))
    how = partial(_on_small_inputs, parent, child, kernels, bench, alone=alone, beside=beside)
    run = how(aligned=1)
    tile = largest_tile(parent.trace)
    if run.relies_on_sizes and tile > 1:
        # A program without masks relies on sizes that its tiles divide.
        again = how(aligned=tile)
        return again if again.cases else run
    if run.first is None or not run.cases or run.result.status is Status.FAIL:
        return run
    if not alone and new_to_the_parent(parent, child, kernels) is None:
        return run  # on any sizes each config computes what it computes in the parent
    return _on_further_sets(parent, child, kernels, bench, run, alone=alone, beside=beside)


def new_to_the_parent(
    parent: Study, child: ProgramView, kernels: Mapping[str, KernelStudy]
) -> PinnedRun | None:
    """Pins to run a candidate with that show what its parent does not; None where all its code
    and tiles are the parent's. `kernels` holds the configs of each kernel of the child."""
    runs = pinned_runs(child, kernels, {kernel.kernel: kernel.usual for kernel in parent.kernels})
    edits = difference(parent.view.source, child.source)
    if any(edit.kind not in SAME_CODE for edit in edits):
        return runs[0]
    known = {
        kernel.kernel: {(study.config.meta, study.config.pre_hook) for study in kernel.configs}
        for kernel in parent.kernels
    }
    return next(
        (
            run
            for run in runs
            for name, config in run.pins.items()
            if (config.meta, config.pre_hook) not in known.get(name, set())
        ),
        None,
    )


def _on_further_sets(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    run: AccuracyRun,
    *,
    alone: bool,
    beside: bool,
) -> AccuracyRun:
    """The verdict of `run`, and of sets of sizes on which other ways are taken than on its own.

    They run on a card of few multiprocessors, so that a few blocks are more than it has.
    """
    assert parent.problem is not None and parent.trace is not None and run.first is not None
    base = {kernel.kernel: kernel.usual for kernel in parent.kernels}
    if bench.deadline is not None:
        bench = replace(bench, deadline=bench.deadline.part(FURTHER_SHARE))
    bench.listener("accuracy", "choosing further sizes, for the branches that these do not take")
    plan = plan_further_sets(
        child.source,
        None if alone else parent.view.source,
        parent.problem,
        parent.trace,
        run.first,
        pinned_runs(child, kernels, base)[0].pins,
        gpu=parent.gpu.sheet,
        cache=bench.cache,
        deadline=bench.deadline,
    )
    sheet = replace(parent.gpu.sheet, sm_count=FEW)
    on_few = replace(parent, gpu=replace(parent.gpu, sheet=sheet))
    for number, inputs in enumerate(plan.sets, 1):
        if bench.deadline is not None and bench.deadline.left_s < FURTHER_S:
            run = _with_note(run, f"{NOT_IN_TIME}: {_left_sets(plan, number)}")
            break
        bench.listener("accuracy", f"further sizes {number} of {len(plan.sets)}: {inputs}")
        run = _joined(
            run, _on_set(on_few, child, kernels, bench, inputs, alone=alone, beside=beside)
        )
        if run.result.status is Status.FAIL:
            return run
    return _with_unrun_told(run, child, "" if alone else parent.view.source, plan)


def _with_note(run: AccuracyRun, note: str) -> AccuracyRun:
    return replace(run, result=replace(run.result, notes=(*run.result.notes, note)))


def _left_sets(plan: FurtherSets, number: int) -> str:
    """Which further sets stay open, from the one with this number on."""
    left = plan.sets[number - 1 :]
    return f"further sizes {number} to {len(plan.sets)} ({'; '.join(map(str, left[:3]))})"


def _on_set(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    inputs: InputSet,
    *,
    alone: bool,
    beside: bool,
) -> AccuracyRun:
    return _on_inputs(
        parent,
        child,
        kernels,
        bench,
        inputs.inputs,
        inputs.init,
        alone=alone,
        beside=beside,
        further=inputs,
    )


def _joined(run: AccuracyRun, other: AccuracyRun) -> AccuracyRun:
    """Both verdicts in one. A set that proves nothing, or on which the parent itself leaves its
    tensors, takes nothing from the others."""
    run = replace(run, ways=run.ways | other.ways)
    if other.relies_on_sizes or other.result.status is Status.NOT_VERIFIED:
        notes = [f"not judged on further sizes: {note}" for note in other.result.notes[:1]]
        if run.result.status is not Status.PASS:  # what holds there was said of the first sizes
            return run
        return replace(run, result=replace(run.result, notes=(*run.result.notes, *notes)))
    more = [note for note in other.result.notes if not note.startswith(PARENT_BREAKS)]
    status = other.result.status if other.result.status is Status.FAIL else run.result.status
    result = replace(
        run.result,
        status=status,
        violations=(*run.result.violations, *other.result.violations),
        notes=tuple(dict.fromkeys((*run.result.notes, *more))),
    )
    failing = {kernel: set(configs) for kernel, configs in run.failing.items()}
    for kernel, configs in other.failing.items():
        failing.setdefault(kernel, set()).update(configs)
    return replace(
        run,
        result=result,
        cases=(*run.cases, *other.cases),
        failing=failing,
    )


def _with_unrun_told(
    run: AccuracyRun, child: ProgramView, parent: str, plan: FurtherSets
) -> AccuracyRun:
    """A branch of the candidate's own that ran in no check leaves it not verified.

    Without a parent (`parent` empty) all branches are its own, also those for inputs that no check
    can make (2³¹ elements): they are told.
    """
    if plan.failed is not None:
        run = _with_note(run, f"no further sizes: {plan.failed}")
        if not plan.failed.startswith(NOT_IN_TIME):
            return run
    unrun = unrun_branches(
        child.source, parent, run.ways, reached=plan.reached, reached_at_full=plan.reached_at_full
    )
    status = run.result.status
    if parent and status is Status.PASS and any(branch.open for branch in unrun):
        status = Status.NOT_VERIFIED
    notes = (*run.result.notes, *map(str, unrun))
    return replace(run, result=replace(run.result, status=status, notes=notes))


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
    beside: bool,
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
    run = _on_inputs(
        parent, child, kernels, bench, plan.inputs, plan.init, alone=alone, beside=beside
    )
    return replace(run, first=plan)


def _on_inputs(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    bench: Workbench,
    inputs: Sequence[TensorSpec],
    init: Init | None,
    *,
    alone: bool,
    beside: bool,
    further: InputSet | None = None,
) -> AccuracyRun:
    """`further`: the set that these inputs are, where they are not the first."""
    assert parent.problem is not None and parent.trace is not None
    with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
        bench.listener("accuracy", "computing the fp64 reference")
        reference = make_reference(
            parent.problem,
            inputs,
            Path(name),
            seed=SEED,
            init=init,
            evaluation_mode=parent.trace.evaluation_mode,
            distributions=DISTRIBUTIONS if further is None else FURTHER_KINDS,
            gpu=parent.gpu.sheet,
            cache=bench.cache,
            deadline=bench.deadline,
        )
        if isinstance(reference, Unavailable):
            return AccuracyRun(not_verified(reference.reason))
        return _judge(
            parent, child, kernels, reference, bench, alone=alone, beside=beside, further=further
        )


def _judge(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    reference: Reference,
    bench: Workbench,
    *,
    alone: bool,
    beside: bool,
    further: InputSet | None = None,
) -> AccuracyRun:
    base = {kernel.kernel: kernel.usual for kernel in parent.kernels}
    pinned = pinned_runs(child, kernels, base)
    if further is not None:
        pinned = [pinned[0], *(run for run in pinned[1:] if _is_of(run, further))]
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
    if beside:
        shared = [run for run in pinned if _is_original(run, parent, beside=base)]
        tasks.append((parent.view.source, [run for run in shared if run is pinned[0]], cases))
        tasks.append((parent.view.source, [r for r in shared if r is not pinned[0]], cases[:1]))

    def perform(task: Task, spoil_undefined: bool = True) -> tuple[Interpretation, ...]:
        source, runs, kinds = task
        sheet = parent.gpu.sheet
        return _interpret(source, runs, kinds, reference, sheet, bench, spoil_undefined)

    # A program beside itself is run once.
    itself = not alone and child.source == parent.view.source and pinned[0].pins == base

    def perform_all(spoil_undefined: bool) -> list[tuple[Interpretation, ...]]:
        todo = tasks[1:] if itself else tasks
        with ThreadPoolExecutor(max_workers=usable_workers()) as pool:
            done = list(pool.map(lambda task: perform(task, spoil_undefined), todo))
        return [_as_the_parents(done[0]), *done] if itself else done

    theirs, *done = perform_all(True)
    spoiled = True
    if any(run.undefined_lines for run in theirs):
        # A parent that uses what its loads leave undefined hands that on: both get zeros.
        source, runs, _ = tasks[0]
        spoiled = not depends_on_undefined(theirs, perform((source, runs, cases[:1]), False))
        if not spoiled:
            theirs, *done = perform_all(False)
    ours = [run for runs in done[:2] for run in runs]
    others = tuple(run for runs in done[2:] for run in runs)  # the parent's under other configs
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
        again = perform((parent.view.source, originals, cases), spoiled)
        judged = verdicts((*theirs, *again, *others))
    elif others:
        # The first verdict tells whether the parent's own configs differ, this one each beside its
        # own.
        judged = verdicts((*theirs, *others))
    concluded = _concluded(judged, pinned, originals, _label(base))
    outside = {event.access for run in theirs or ours for event in run.memory_events}
    unclear = bool(outside) and concluded.result.status is not Status.PASS
    told = undefined_notes(concluded.result, ours) if spoiled else (inherited(theirs),)
    result = replace(concluded.result, notes=(*concluded.result.notes, *told))
    return replace(
        concluded,
        result=result,
        relies_on_sizes="write" in outside or unclear,
        ways=frozenset().union(*(run.ways for run in ours)),
    )


def _as_the_parents(runs: Sequence[Interpretation]) -> tuple[Interpretation, ...]:
    """A candidate's runs as those of a parent of the same text."""
    return tuple(replace(one, run=replace(one.run, label="parent")) for one in runs)


def _is_of(run: PinnedRun, further: InputSet) -> bool:
    """Whether a run pins one of the configs that do something of their own on these inputs."""
    return any(
        kernel == run.kernel and dict(meta) == member.meta_dict
        for kernel, meta in further.metas
        for member in run.members
    )


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


def _is_original(
    run: PinnedRun, parent: Study, *, beside: Mapping[str, Config] | None = None
) -> bool:
    """Whether the parent lists one of these configs; `beside`: and not as its usual one."""
    if beside is not None and run.kernel is not None:
        usual = beside.get(run.kernel)
        if usual is not None and usual.meta in {member.meta for member in run.members}:
            return False
    study = None if run.kernel is None else parent.kernel(run.kernel)
    metas = set() if study is None else {config.config.meta for config in study.configs}
    return any(member.meta in metas for member in run.members)


def pinned_runs(
    child: ProgramView, kernels: Mapping[str, KernelStudy], base: Mapping[str, Config]
) -> list[PinnedRun]:
    """One run for each distinct set of meta-parameters and hook of each kernel, the usual first."""
    listed = {kernel.name: _listed(kernel.name, child, kernels) for kernel in child.kernels}
    usual = {name: _closest(base.get(name), configs) for name, configs in listed.items() if configs}
    runs = [PinnedRun(_label(usual), usual)]
    for name, configs in listed.items():
        by_meta: dict[object, list[Config]] = {}
        for config in configs:
            by_meta.setdefault((config.meta, config.pre_hook), []).append(config)
        for key, members in by_meta.items():
            if key == (usual[name].meta, usual[name].pre_hook):
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
    alike = [config for config in same if config.pre_hook == wanted.pre_hook]
    return (alike or same or list(configs))[0]


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
    spoil_undefined: bool,
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
        spoil_undefined=spoil_undefined,
        deadline=bench.deadline,
    )
