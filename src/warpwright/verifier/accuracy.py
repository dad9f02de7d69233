"""Accuracy of a candidate without a GPU: on which inputs it is judged, and the verdict of all.

Small inputs on which every kernel runs; sizes that the tiles divide, where a program relies on
that; then sizes on which its branches go other ways. `accuracy_case` judges on one set of
inputs, `accuracy_pins` says which configs need a run of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from warpwright.interpreter.sizes.shrink import ShrunkenInputs, plan_shrunken_inputs
from warpwright.interpreter.sizes.sizes import FEW, FurtherSets, plan_further_sets
from warpwright.store.run_context import RunContext
from warpwright.types.launch_trace import ConstantArgument, Trace
from warpwright.types.program import ProgramView
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import NO_SHAPES, NOT_IN_TIME, AccuracyRun, Status
from warpwright.verifier.accuracy_case import Pair, judge_on_inputs
from warpwright.verifier.accuracy_pins import new_to_the_parent
from warpwright.verifier.outputs.branches import unrun_branches
from warpwright.verifier.outputs.compare_outputs import PARENT_BREAKS

LARGEST_TILE = 4096
DESCRIPTOR_BYTES = 16  # that the strides of a tensor descriptor are multiples of
READS_VALUES = (
    "no small inputs: the host code reads values, which do not fit tensors that are made smaller"
)
FURTHER_SHARE = 0.5  # of the time left; the rest is for the check at full size
FURTHER_SHARE_MEASURED = 0.9  # where a GPU makes that check, in a time of its own
FURTHER_S = 1.0  # with less left no further set is begun, nor with less than others took


def verify_accuracy(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    run_context: RunContext,
    *,
    beside: bool = False,
    trace: Trace | None = None,
) -> AccuracyRun:
    """Run every config that `child` lists on small inputs and judge the outputs.

    `kernels` holds the configs of each kernel of the child. Without a problem: not verified.
    `beside`: run the parent too under each config that both have, so that each output is compared
    with the parent's own under that config; else with its usual one. `trace`: the child's own; each
    run has to launch the kernels that it does (without it: those of the parent).
    """
    return _verified(Pair(parent, child, kernels, run_context, beside=beside, trace=trace))


def verify_alone(study: Study, run_context: RunContext) -> AccuracyRun:
    """The same for a program that replaces no other: by the reference and the policy alone."""
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    return _verified(Pair(study, study.view, kernels, run_context, alone=True))


def _verified(pair: Pair) -> AccuracyRun:
    if pair.parent.problem is None or pair.parent.trace is None:
        return AccuracyRun.unknown(NO_SHAPES)
    run, first = _on_small_inputs(pair, aligned=strides_kept(pair.parent.view))
    tile = largest_tile(pair.parent.trace)
    if run.relies_on_sizes and tile > 1:
        # A program without masks relies on sizes that its tiles divide.
        again, _ = _on_small_inputs(pair, aligned=tile)
        run = again if again.cases else run
    if run.relies_on_sizes and pair.parent.trace.value_reads:
        return AccuracyRun.unknown(READS_VALUES)
    if run.relies_on_sizes and tile > 1:
        return run
    if first is None or not run.cases or run.result.status is Status.FAIL:
        return run
    if not pair.alone and new_to_the_parent(pair.parent, pair.child, pair.kernels) is None:
        return run  # on any sizes each config computes what it computes in the parent
    return _on_further_sets(pair, run, first)


def _on_small_inputs(pair: Pair, *, aligned: int) -> tuple[AccuracyRun, ShrunkenInputs | None]:
    """The verdict, and the inputs; None where there are none."""
    parent, run_context = pair.parent, pair.run_context
    assert parent.problem is not None and parent.trace is not None
    run_context.listener("accuracy", "choosing small inputs on which every kernel runs")
    plan = plan_shrunken_inputs(
        parent.view.source,
        parent.problem,
        parent.trace,
        gpu=parent.gpu.sheet,
        cache=run_context.cache,
        aligned=aligned,
        deadline=run_context.deadline,
    )
    if not isinstance(plan, ShrunkenInputs):
        return AccuracyRun.unknown(f"no small inputs: {plan.reason}"), None
    return judge_on_inputs(pair, plan.inputs, plan.init), plan


def _on_further_sets(pair: Pair, run: AccuracyRun, first: ShrunkenInputs) -> AccuracyRun:
    """The verdict of `run`, and of sets of sizes on which other ways are taken than on its own.

    They run on a card of few multiprocessors, so that a few blocks are more than it has.
    """
    if pair.run_context.deadline is not None:
        measured = pair.run_context.is_measured
        share = pair.run_context.deadline.part(
            FURTHER_SHARE_MEASURED if measured else FURTHER_SHARE
        )
        pair = replace(pair, run_context=replace(pair.run_context, deadline=share))
    run_context = pair.run_context
    plan = _further_sets(pair, first)
    sheet = replace(pair.parent.gpu.sheet, sm_count=FEW)
    on_few = replace(pair, parent=replace(pair.parent, gpu=replace(pair.parent.gpu, sheet=sheet)))
    left_s, longest_s = _left_s(run_context), FURTHER_S
    for number, inputs in enumerate(plan.sets, 1):
        longest_s = max(longest_s, left_s - _left_s(run_context)) if number > 1 else longest_s
        left_s = _left_s(run_context)
        if left_s < longest_s:
            run = _with_note(run, f"{NOT_IN_TIME}: {_left_sets(plan, number)}")
            break
        run_context.listener("accuracy", f"further sizes {number} of {len(plan.sets)}: {inputs}")
        run = _joined(run, judge_on_inputs(on_few, inputs.inputs, inputs.init, inputs))
        if run.result.status is Status.FAIL:
            return run
    return _with_unrun_told(run, pair.child, pair.parent_source, plan)


def _left_s(run_context: RunContext) -> float:
    return math.inf if run_context.deadline is None else run_context.deadline.left_s


def _further_sets(pair: Pair, first: ShrunkenInputs) -> FurtherSets:
    parent, run_context = pair.parent, pair.run_context
    assert parent.problem is not None and parent.trace is not None
    run_context.listener(
        "accuracy", "choosing further sizes, for the branches that these do not take"
    )
    return plan_further_sets(
        pair.child.source,
        None if pair.alone else parent.view.source,
        parent.problem,
        parent.trace,
        first,
        pair.pinned()[0].pins,
        gpu=parent.gpu.sheet,
        cache=run_context.cache,
        deadline=run_context.deadline,
    )


def _with_note(run: AccuracyRun, note: str) -> AccuracyRun:
    return replace(run, result=replace(run.result, notes=(*run.result.notes, note)))


def _left_sets(plan: FurtherSets, number: int) -> str:
    """Which further sets stay open, from the one with this number on."""
    left = plan.sets[number - 1 :]
    return f"further sizes {number} to {len(plan.sets)} ({'; '.join(map(str, left[:3]))})"


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


def strides_kept(view: ProgramView) -> int:
    """The power of two that small sizes keep of the full ones, in elements: 16 where a kernel makes
    tensor descriptors, whose strides are multiples of 16 bytes; else 1."""
    made = any(
        operation.name.endswith("make_tensor_descriptor")
        for kernel in view.kernels
        for operation in kernel.operations
    )
    return DESCRIPTOR_BYTES if made else 1


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
