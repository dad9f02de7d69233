"""Accuracy on one set of inputs: reference, interpreter, and what the outputs come to.

The reference and each program run in children of their own; the verdict is the verifier's, on
arrays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from pathlib import Path

from warpwright.compiler.compile_pool import usable_workers
from warpwright.interpreter.interpret import Interpretation, InterpretRun, interpret
from warpwright.interpreter.reference.reference import (
    DISTRIBUTIONS,
    ReferenceRun,
    Unavailable,
    make_reference,
)
from warpwright.interpreter.sizes.shrink import Init
from warpwright.interpreter.sizes.sizes import InputSet
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import device_facts
from warpwright.types.config import Config
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.shapes import TensorSpec
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import OTHER_ORDER, RACE, AccuracyCase, AccuracyRun, Status
from warpwright.verifier.accuracy_pins import PinnedRun, is_original, label_of, pinned_runs
from warpwright.verifier.outputs.compare_outputs import WRONG_L2
from warpwright.verifier.outputs.interpreted import by_the_program, conclude, judge_outputs
from warpwright.verifier.outputs.undefined import depends_on_undefined, inherited, undefined_notes

# Any fixed number: the reference is compared, not remembered, and equal runs give equal records.
SEED = 20_231
LEAST_RUNS = 3  # in a process of its own
FURTHER_KINDS = ("problem", "large", OTHER_ORDER)  # of data, on further sets of sizes

Interpretations = tuple[Interpretation, ...]
Task = tuple[str, Sequence[PinnedRun], Sequence[str]]
"""A program's source, its pinned runs, the kinds of data to run each on."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate and its parent, of which problem and trace are known.

    `kernels`: the configs of each kernel of the child. `alone`: the child replaces no program, and
    `parent` is its own study. `beside`: the parent runs under each config that both have, so that
    each output is compared with the parent's own under that config; else under its usual one.
    `trace`: the child's, where it is known: what it launches there it has to launch here.
    """

    parent: Study
    child: ProgramView
    kernels: Mapping[str, KernelStudy]
    run_context: RunContext
    alone: bool = False
    beside: bool = False
    trace: Trace | None = None

    @property
    def required_kernels(self) -> tuple[str, ...]:
        """The kernels that a run of the child has to launch, or it shows nothing of them."""
        trace = self.trace or self.parent.trace
        return () if trace is None else tuple(trace.kernels)

    @property
    def parent_source(self) -> str:
        """Empty where there is no parent."""
        return "" if self.alone else self.parent.view.source

    @property
    def base(self) -> dict[str, Config]:
        """Kernel → the parent's usual config."""
        return {kernel.kernel: kernel.usual for kernel in self.parent.kernels}

    def pinned(self) -> list[PinnedRun]:
        return pinned_runs(self.child, self.kernels, self.base)


def judge_on_inputs(
    pair: Pair,
    inputs: Sequence[TensorSpec],
    init: Init | None,
    further: InputSet | None = None,
) -> AccuracyRun:
    """The verdict on one set of inputs. `further`: the set that they are, where they are not the
    first; then only those configs run that do something of their own on it."""
    parent, run_context = pair.parent, pair.run_context
    assert parent.problem is not None and parent.trace is not None
    with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
        run_context.listener("accuracy", "computing the fp64 reference")
        reference = make_reference(
            parent.problem,
            inputs,
            Path(name),
            seed=SEED,
            init=init,
            evaluation_mode=parent.trace.evaluation_mode,
            distributions=DISTRIBUTIONS if further is None else FURTHER_KINDS,
            gpu=parent.gpu.sheet,
            parent=parent.view.source,
            cache=run_context.cache,
            deadline=run_context.deadline,
        )
        if isinstance(reference, Unavailable):
            return AccuracyRun.unknown(reference.reason)
        pinned = pair.pinned()
        if further is not None:
            pinned = [pinned[0], *(run for run in pinned[1:] if _is_of(run, further))]
        return _judge(pair, pinned, reference)


def _judge(pair: Pair, pinned: Sequence[PinnedRun], reference: ReferenceRun) -> AccuracyRun:
    """Run both programs and judge what came out."""
    cases = [case.name for case in reference.cases]
    pair.run_context.listener(
        "accuracy", f"running {len(pinned)} distinct configs in the interpreter, "
        f"{len(cases)} kinds of data"
    )  # fmt: skip
    runs = _Runs(pair, pinned, reference, cases)
    (theirs, *done), spoiled = runs.all()
    ours = [run for each in done[:2] for run in each]
    others = tuple(run for each in done[2:] for run in each)  # the parent's under other configs

    def verdicts(of_parent: Sequence[Interpretation]) -> tuple[AccuracyCase, ...]:
        judged = judge_outputs(
            ours,
            of_parent,
            reference.cases,
            required_kernels=pair.required_kernels,
            parent_source=pair.parent_source,
            child_source=pair.child.source,
        )
        problem = pair.parent.problem
        if problem is None or problem.source is None or problem.has_model:
            return judged
        return by_the_program(judged)

    judged = verdicts(theirs)
    suspects = [run for run in pinned if run.label in _failed(judged)]
    originals = [run for run in suspects if not pair.alone and is_original(run, pair.parent)]
    if originals:
        # An original may be wrong in the parent already: run the parent with the same pins.
        again = runs.perform((pair.parent.view.source, originals, cases), spoiled)
        judged = verdicts((*theirs, *again, *others))
    elif others:
        # The first verdict tells whether the parent's own configs differ, this one each beside its
        # own.
        judged = verdicts((*theirs, *others))
    concluded = _concluded(judged, pinned, originals, label_of(pair.base))
    return _with_conduct(concluded, theirs, ours, spoiled)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of both programs on the `cases` of one reference. The first config sees every kind
    of data, the others the problem's own."""

    pair: Pair
    pinned: Sequence[PinnedRun]
    reference: ReferenceRun
    cases: Sequence[str]

    def all(self) -> tuple[list[Interpretations], bool]:
        """The parent's runs, the candidate's with its first config and with the others, and with
        `beside` the parent's under those too; and whether undefined values were spoiled."""
        tasks = self._tasks()
        done = self._perform_all(tasks, True)
        theirs = done[0]
        if not any(run.undefined_lines for run in theirs):
            return done, True
        # A parent that uses what its loads leave undefined hands that on: both get zeros.
        source, runs, _ = tasks[0]
        plain = self.perform((source, runs, self.cases[:1]), False)
        if depends_on_undefined(theirs, plain):
            return self._perform_all(tasks, False), False
        return done, True

    def _tasks(self) -> list[Task]:
        pair, pinned, cases = self.pair, self.pinned, self.cases
        parent, base = pair.parent.view.source, pair.base
        tasks: list[Task] = [
            (parent, [] if pair.alone else [PinnedRun("parent", base)], cases),
            (pair.child.source, pinned[:1], cases),
            (pair.child.source, pinned[1:], cases[:1]),
        ]
        if pair.beside:
            shared = [run for run in pinned if is_original(run, pair.parent, beside=base)]
            tasks.append((parent, [run for run in shared if run is pinned[0]], cases))
            tasks.append((parent, [run for run in shared if run is not pinned[0]], cases[:1]))
        return tasks

    def _perform_all(self, tasks: Sequence[Task], spoil_undefined: bool) -> list[Interpretations]:
        """Side by side, each in processes of its own, in several where there are cores for them.
        A program beside itself is run once."""
        pair = self.pair
        same = not pair.alone and pair.child.source == pair.parent.view.source
        itself = same and self.pinned[0].pins == pair.base
        todo = tasks[1:] if itself else tasks
        workers = usable_workers()
        each = max(1, workers // max(1, sum(bool(pinned) for _, pinned, _ in todo)))
        parts = [in_parts(task, each) for task in todo]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            runs = pool.map(
                lambda part: self.perform(part, spoil_undefined), chain.from_iterable(parts)
            )
            done = [tuple(chain.from_iterable(islice(runs, len(of)))) for of in parts]
        return [_as_the_parents(done[0]), *done] if itself else done

    def perform(self, task: Task, spoil_undefined: bool) -> Interpretations:
        """Run a program with each set of pins on each kind of data, as on the target card."""
        source, pinned, cases = task
        sheet, run_context = self.pair.parent.gpu.sheet, self.pair.run_context
        major, minor = sheet.compute_capability
        return interpret(
            source,
            self.reference,
            [InterpretRun(case, run.pins, run.label) for run in pinned for case in cases],
            compute_capability=10 * major + minor,
            facts=device_facts(sheet),
            cache=run_context.cache,
            spoil_undefined=spoil_undefined,
            deadline=run_context.deadline,
        )


def in_parts(task: Task, count: int) -> list[Task]:
    """A task as up to so many, whose runs in a row are its own. Each has a few, in one process:
    what a program keeps from one run shows in the next."""
    source, pinned, cases = task
    by_config = len(pinned) > 1
    length = len(pinned) if by_config else len(cases)
    parts = max(1, min(count, length // LEAST_RUNS))
    ends = [length * part // parts for part in range(parts + 1)]
    return [
        (source, pinned[begin:end], cases) if by_config else (source, pinned, cases[begin:end])
        for begin, end in pairwise(ends)
    ]


def _with_conduct(
    run: AccuracyRun,
    theirs: Sequence[Interpretation],
    ours: Sequence[Interpretation],
    spoiled: bool,
) -> AccuracyRun:
    """The verdict, with what the runs did besides: memory that is not theirs, undefined values,
    the ways that branches took."""
    outside = {event.access for each in theirs or ours for event in each.memory_events} - {RACE}
    unclear = bool(outside) and run.result.status is not Status.PASS
    told = undefined_notes(run.result, ours) if spoiled else (inherited(theirs),)
    return replace(
        run,
        result=replace(run.result, notes=(*run.result.notes, *told)),
        relies_on_sizes="write" in outside or unclear,
        ways=frozenset().union(*(each.ways for each in ours)),
    )


def _as_the_parents(runs: Interpretations) -> Interpretations:
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
