"""Is an output right? Judges what other processes computed; runs nothing itself.

`judge_outputs` compares each run of a candidate with the float64 reference and with its parent's
run on the same inputs; `conclude` makes one result of all cases. The rules are in
`docs/precision.md`. A run whose kernels were not launched proves nothing and never passes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

from warpwright.types.verdict import (
    ACCURACY,
    NO_SHAPES,
    OTHER_ORDER,
    AccuracyCase,
    CheckResult,
    Status,
    Violation,
)
from warpwright.verifier.outputs.compare_outputs import (
    APART_FROM_PARENT,
    PARENT_BREAKS,
    against_parent,
    against_reference,
    apart_limit,
    by_degenerate,
    by_parameters,
    misplaced,
)
from warpwright.verifier.outputs.comparison import (
    ReferenceLike,
    all_bits_equal,
    degenerate_references,
)
from warpwright.verifier.outputs.in_time import cut_note, is_cut, without_excuse
from warpwright.verifier.outputs.run_behaviour import (
    RunLike,
    inputs_verdict,
    launched_all,
    memory_verdict,
    outcome_verdict,
)

BY_THE_PROGRAM = "no reference was given: outputs are held to the program's own, bit for bit"


def judge_outputs(
    candidate: Sequence[RunLike],
    parent: Sequence[RunLike],
    references: Sequence[ReferenceLike],
    *,
    required_kernels: Iterable[str],
    parent_source: str = "",
    child_source: str = "",
) -> tuple[AccuracyCase, ...]:
    """A verdict for each run of the candidate.

    The parent's run on the same case counts, with the same label if there is one. Pass the
    parent's runs as `candidate` too to judge the parent itself. `required_kernels`: those that
    the candidate launches when it is traced; each must have been launched. `parent_source` tells
    which loads are the parent's own: many programs rely on sizes that their tiles divide, and read
    beyond the end of smaller ones without using it. With `child_source` it tells how far outputs
    may be apart without a reference.
    """
    by_name = {reference.name: reference for reference in references}
    degenerate = degenerate_references(references)
    required = tuple(required_kernels)
    limit = apart_limit(parent_source, child_source)
    lines = frozenset(line.strip() for line in parent_source.splitlines()) - {""}
    return tuple(
        judge_case(
            run,
            _parent_run(run, parent),
            by_name[run.run.case],
            required_kernels=required,
            degenerate=degenerate.get(run.run.case),
            parent_lines=lines,
            limit=limit,
        )
        for run in candidate
    )


def _parent_run(run: RunLike, parent: Sequence[RunLike]) -> RunLike | None:
    same_case = [other for other in parent if other.run.case == run.run.case]
    same_label = [other for other in same_case if other.run.label == run.run.label]
    return next(iter(same_label or same_case), None)


def judge_case(
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    *,
    required_kernels: Sequence[str],
    degenerate: str | None = None,
    parent_lines: Collection[str] = (),
    limit: float = APART_FROM_PARENT,
) -> AccuracyCase:
    """The verdict on one run. `parent` is the parent's run on the same inputs, or None."""
    case = _judged(run, parent, reference, required_kernels, degenerate, parent_lines, limit)
    beside = parent is not None and parent is not run
    if case.distribution == OTHER_ORDER and beside and parent is not None and not parent.outputs:
        return replace(case, gating=False)  # the parent needs its own order of blocks
    return without_excuse(case, run, parent)


def _judged(
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    required_kernels: Sequence[str],
    degenerate: str | None,
    parent_lines: Collection[str],
    limit: float,
) -> AccuracyCase:
    case = AccuracyCase(
        config=run.run.label,
        inputs=tuple(map(str, reference.inputs)),
        distribution=reference.name,
        status=Status.NOT_VERIFIED,
        launched=tuple(run.launches),
        notes=(run.parameters,) if run.parameters else (),
    )
    stopped = (
        outcome_verdict(case, run, parent)
        or memory_verdict(case, run, parent, parent_lines)
        or inputs_verdict(case, run, parent, reference)
    )
    if stopped is not None:
        return stopped
    idle = launched_all(case, run.launches, required_kernels)
    case = _compared(case, run, parent, reference, degenerate, limit)
    # A kernel that did nothing proves nothing, but a wrong output stays wrong.
    return case if idle is None or case.status is Status.FAIL else idle


def _compared(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    degenerate: str | None,
    limit: float,
) -> AccuracyCase:
    """The verdict on the outputs of a run that has some."""
    parent_ok = parent is not None and parent.outputs is not None
    case = replace(case, notes=(*case.notes, *(map(str, run.memory_events))))
    assert run.outputs is not None  # `outcome_verdict` stops runs without outputs
    if parent is not None and parent.outputs is not None:
        equal = all_bits_equal(run.outputs, parent.outputs)
        case = replace(case, bit_equal_to_parent=equal)
    if degenerate is not None:
        return by_degenerate(
            case,
            against_reference(case, run, parent, reference, alone=parent is None),
            degenerate,
            misplaced=misplaced(run, reference),
            parent_misplaced=misplaced(parent, reference),
        )
    if not reference.outputs:
        if not run.parameters_matched:  # a guess, which no reference proves
            return replace(case, reason=f"not compared: {run.parameters}", gating=False)
        return against_parent(case, run, parent if parent_ok else None, limit=limit)
    judged = against_reference(
        case, run, parent if parent_ok else None, reference, alone=parent is None
    )
    beside = partial(against_parent, case, run, parent if parent_ok else None)
    return by_parameters(judged, run, None if parent is None else beside)


def by_the_program(cases: Sequence[AccuracyCase]) -> tuple[AccuracyCase, ...]:
    """The verdicts where the program itself is the reference: its problem has inputs of its own and
    no model. Equal bits pass, also under other parameters; other outputs stay as judged."""
    return tuple(
        replace(case, status=Status.PASS, reason=None, notes=(*case.notes, BY_THE_PROGRAM))
        if case.gating and case.status is Status.NOT_VERIFIED and case.bit_equal_to_parent
        else case
        for case in cases
    )


def conclude(cases: Sequence[AccuracyCase]) -> CheckResult:
    """One result of all cases. It passes when every gating case passes and each config has one."""
    if not cases:
        return CheckResult(ACCURACY, Status.NOT_VERIFIED, notes=(NO_SHAPES,))
    failed = [case for case in cases if case.gating and case.status is Status.FAIL]
    open_cases = [case for case in cases if case.gating and case.status is Status.NOT_VERIFIED]
    passed = {case.config for case in cases if case.gating and case.status is Status.PASS}
    without = [name for name in dict.fromkeys(case.config for case in cases) if name not in passed]
    status = Status.PASS
    if failed:
        status = Status.FAIL
    elif open_cases or without:
        status = Status.NOT_VERIFIED
    notes = [f"{_where(case)}: {case.reason}" for case in open_cases if not is_cut(case)]
    notes += cut_note(cases)
    notes += [f"{_where(case)}: {case.reason}" for case in cases if not case.gating]
    notes += [note for case in cases for note in case.notes if not note.startswith(PARENT_BREAKS)]
    breaking = [n for case in cases for n in case.notes if n.startswith(PARENT_BREAKS)]
    notes += breaking[:1]  # the numbers differ from case to case, the finding does not
    return CheckResult(
        ACCURACY,
        status,
        violations=tuple(_violation(case) for case in failed),
        notes=tuple(dict.fromkeys(notes)),
    )


def _where(case: AccuracyCase) -> str:
    return f"{case.config}, {case.distribution} inputs"


def _violation(case: AccuracyCase) -> Violation:
    return Violation(
        rule=ACCURACY,
        line=None,
        expected=f"the reference's output ({_where(case)})",
        found=case.reason or "a different output",
    )
