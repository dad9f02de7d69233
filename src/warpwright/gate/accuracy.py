"""Is an output right? Judges what other processes computed; runs nothing itself.

`judge_outputs` compares each run of a candidate with the float64 reference and with its parent's
run on the same inputs; `conclude` makes one result of all cases. The rules are in
`docs/precision.md`. A run whose kernels were not launched proves nothing and never passes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from warpwright.gate import precision
from warpwright.gate.outputs import (
    JudgedOutput,
    ReferenceLike,
    all_bits_equal,
    degenerate_references,
    distance,
    form_differs,
    judge_output,
    nonfinite_differs,
    nothing_finite,
)
from warpwright.gate.precision import TensorLike
from warpwright.types.verdict import AccuracyCase, CheckResult, ErrorMeasure, Status, Violation

CHECK = "accuracy"
NONFINITE = "nonfinite"
CANCELLING = frozenset({"wide", "outliers"})
# Beyond these an output is not imprecise but wrong.
WRONG_L2 = 0.05
# Without a reference: two float32 programs of one operator, each with TF32 operands, differ less.
APART_FROM_PARENT = 5e-3
# One block that takes so many times what the parent takes for all of its launches does not end:
# smaller tiles cost the interpreter more steps, but share them among more blocks.
ENDLESS_TIMES = 20.0
ENDLESS_LEAST_S = 20.0  # of processor time; less says little of a parent of some milliseconds
PARENT_BREAKS = "the parent breaks the precision policy"
NO_SHAPES = "not verified: no input shapes"
NO_REFERENCE = "not verified against a reference: none given"


class RunLike(Protocol):
    """One run of a program (`sandbox.interpret.Interpretation`)."""

    @property
    def run(self) -> Any: ...  # has `case` and `label`
    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def outputs(self) -> Sequence[TensorLike] | None: ...
    @property
    def launches(self) -> Mapping[str, int]: ...
    @property
    def changed_inputs(self) -> Sequence[int]: ...
    @property
    def memory_events(
        self,
    ) -> Sequence[Any]: ...  # each has `access`, `text` (its source line) and a str
    @property
    def parameters(self) -> str: ...
    @property
    def parameters_matched(self) -> bool: ...
    @property
    def cpu_s(self) -> float | None: ...
    @property
    def block_cpu_s(self) -> float | None: ...


def judge_outputs(
    candidate: Sequence[RunLike],
    parent: Sequence[RunLike],
    references: Sequence[ReferenceLike],
    *,
    required_kernels: Iterable[str],
    parent_source: str = "",
) -> tuple[AccuracyCase, ...]:
    """A verdict for each run of the candidate.

    The parent's run on the same case counts, with the same label if there is one. Pass the
    parent's runs as `candidate` too to judge the parent itself. `required_kernels`: the kernels
    of the parent's trace; each must have been launched. `parent_source` tells which loads are
    the parent's own: many programs rely on sizes that their tiles divide, and read beyond the
    end of smaller ones without using it.
    """
    by_name = {reference.name: reference for reference in references}
    degenerate = degenerate_references(references)
    required = tuple(required_kernels)
    lines = frozenset(line.strip() for line in parent_source.splitlines()) - {""}
    return tuple(
        judge_case(
            run,
            _parent_run(run, parent),
            by_name[run.run.case],
            required_kernels=required,
            degenerate=degenerate.get(run.run.case),
            parent_lines=lines,
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
) -> AccuracyCase:
    """The verdict on one run. `parent` is the parent's run on the same inputs, or None."""
    case = AccuracyCase(
        config=run.run.label,
        inputs=tuple(map(str, reference.inputs)),
        distribution=reference.name,
        status=Status.NOT_VERIFIED,
        launched=tuple(run.launches),
        notes=(run.parameters,) if run.parameters else (),
    )
    stopped = (
        _outcome(case, run, parent)
        or _memory(case, run, parent, parent_lines)
        or _inputs(case, run, parent, reference)
    )
    if stopped is not None:
        return stopped
    idle = launched_all(case, run.launches, required_kernels)
    case = _compared(case, run, parent, reference, degenerate)
    # A kernel that did nothing proves nothing, but a wrong output stays wrong.
    return case if idle is None or case.status is Status.FAIL else idle


def _compared(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    degenerate: str | None,
) -> AccuracyCase:
    """The verdict on the outputs of a run that has some."""
    parent_ok = parent is not None and parent.outputs is not None
    case = replace(case, notes=(*case.notes, *(map(str, run.memory_events))))
    assert run.outputs is not None  # `_outcome` stops runs without outputs
    if parent is not None and parent.outputs is not None:
        equal = all_bits_equal(run.outputs, parent.outputs)
        case = replace(case, bit_equal_to_parent=equal)
    if degenerate is not None:
        return replace(case, reason=degenerate, gating=False)
    if not reference.outputs:
        return _against_parent(case, run, parent if parent_ok else None)
    judged = _against_reference(
        case, run, parent if parent_ok else None, reference, alone=parent is None
    )
    if judged.status is Status.FAIL and not run.parameters_matched:
        reason = f"{judged.reason}; but {run.parameters}"
        return replace(judged, status=Status.NOT_VERIFIED, reason=reason)
    return judged


def _fail(case: AccuracyCase, reason: str) -> AccuracyCase:
    return replace(case, status=Status.FAIL, reason=reason)


def _outcome(case: AccuracyCase, run: RunLike, parent: RunLike | None) -> AccuracyCase | None:
    if run.outputs is not None:
        return None
    reason = run.reason or str(run.outcome)
    if run.outcome == "skipped":
        return replace(case, reason=reason, gating=False)
    if run.outcome == "unsupported":
        return replace(case, reason=f"the interpreter cannot run it: {reason}")
    if run.outcome != "failed":
        endless = _endless(run, parent)
        return replace(case, reason=reason) if endless is None else _fail(case, endless)
    if parent is not None and parent is not run and parent.outputs is None:
        return replace(case, reason=f"the parent fails here too: {reason}")
    return _fail(case, reason)


def _endless(run: RunLike, parent: RunLike | None) -> str | None:
    """Why a run that was stopped would not have ended; None where it might have.

    Processor times are compared, so that a busy machine refuses nothing, and one block of the run
    with all of the parent's.
    """
    if parent is None or parent is run or parent.outputs is None or parent.cpu_s is None:
        return None
    least_s = max(ENDLESS_LEAST_S, ENDLESS_TIMES * parent.cpu_s)
    if run.block_cpu_s is None or run.block_cpu_s < least_s:
        return None
    return (
        f"it does not end: one block of a kernel was still running after {run.block_cpu_s:.0f} s, "
        f"where the parent's whole run takes {parent.cpu_s:.2g} s"
    )


def launched_all(
    case: AccuracyCase, launches: Mapping[str, int], required: Sequence[str]
) -> AccuracyCase | None:
    """The open verdict of a run that did not launch every required kernel; None: it did."""
    if not required:
        return replace(case, reason="no kernel is known that must be launched")
    missing = [kernel for kernel in required if not launches.get(kernel)]
    if not missing:
        return None
    return replace(case, reason=f"not launched: {', '.join(missing)}")


def _memory(
    case: AccuracyCase, run: RunLike, parent: RunLike | None, parent_lines: Collection[str]
) -> AccuracyCase | None:
    """Out of bounds: writes fail; reads fail unless the parent does it, or has the same load."""
    writes = [str(event) for event in run.memory_events if event.access == "write"]
    if writes:
        return _fail(case, writes[0])
    reads = [str(event) for event in run.memory_events if event.text not in parent_lines]
    if reads and (parent is None or parent is run or not parent.memory_events):
        return _fail(case, reads[0])
    return None


def _inputs(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
) -> AccuracyCase | None:
    theirs = () if parent is None or parent is run else parent.changed_inputs
    return unasked_change(case, run.changed_inputs, (*reference.changes_inputs, *theirs))


def unasked_change(
    case: AccuracyCase, changed: Sequence[int], allowed: Collection[int]
) -> AccuracyCase | None:
    """The failure of a run that changes inputs which neither operator nor parent changes."""
    unasked = [index for index in changed if index not in allowed]
    return _fail(case, f"it changes its input {unasked[0]} in place") if unasked else None


def _against_reference(
    case: AccuracyCase,
    run: RunLike,
    parent: RunLike | None,
    reference: ReferenceLike,
    *,
    alone: bool,
) -> AccuracyCase:
    """`alone`: the program replaces no other, so nothing excuses a NaN that it loses."""
    assert run.outputs is not None
    form = form_differs(run.outputs, reference.policy)
    if form is not None:
        return _fail(case, form)
    others: Sequence[TensorLike | None] = [None] * len(run.outputs)
    if (
        parent is not None
        and parent.outputs is not None
        and form_differs(parent.outputs, reference.policy) is None
    ):
        others = parent.outputs
    if reference.name == NONFINITE and not alone and not _parent_agrees(others, reference):
        return _ungated(case, run, reference)
    judged = [
        judge_output(got, other, right, policy, reference)
        for got, other, right, policy in zip(
            run.outputs, others, reference.outputs, reference.policy, strict=True
        )
    ]
    return judged_case(case, judged)


def judged_case(case: AccuracyCase, judged: Sequence[JudgedOutput]) -> AccuracyCase:
    """The verdict on a case from its judged outputs: the worst one decides."""
    failed = [item for item in judged if item.failure is not None]
    worst = failed[0] if failed else max(judged, key=lambda item: item.strain)
    case = replace(
        case,
        error=worst.error,
        bound=worst.bound,
        parent_error=worst.parent_error,
        policy_error=worst.policy_error,
    )
    return _with_parent_notes(case, worst)


def _with_parent_notes(case: AccuracyCase, worst: JudgedOutput) -> AccuracyCase:
    """Status and reason, and what there is to say of the parent."""
    parent_error = worst.parent_error
    breaks = parent_error is not None and not precision.within(parent_error, worst.policy_bound)
    if worst.failure is None and precision.within(worst.error, worst.policy_bound):
        status: Status = Status.PASS
    elif parent_error is not None and parent_error.relative_l2 > WRONG_L2:
        reason = f"the parent itself is wrong here: relative error {parent_error.relative_l2:.2g}"
        return replace(case, reason=f"{worst.failure}; {reason}" if worst.failure else reason)
    else:
        status = Status.FAIL if worst.failure is not None else Status.PASS
    if breaks and parent_error is not None:
        note = (
            f"{PARENT_BREAKS}: relative error "
            f"{parent_error.relative_l2:.2g}, the policy allows "
            f"{worst.policy_bound.relative_l2:.2g}"
        )
        case = replace(case, notes=(*case.notes, note))
    return replace(case, status=status, reason=worst.failure)


def _parent_agrees(parent: Sequence[TensorLike | None], reference: ReferenceLike) -> bool:
    return all(
        other is not None and nonfinite_differs(other, right, policy) is None
        for other, right, policy in zip(parent, reference.outputs, reference.policy, strict=True)
    )


def _ungated(case: AccuracyCase, run: RunLike, reference: ReferenceLike) -> AccuracyCase:
    """NaN and Inf among the inputs, where the parent itself does not follow the operator."""
    assert run.outputs is not None
    differs = [
        reason
        for got, right, policy in zip(run.outputs, reference.outputs, reference.policy, strict=True)
        if (reason := nonfinite_differs(got, right, policy))
    ]
    found = differs[0] if differs else "NaN and Inf stand where the reference has them"
    return replace(case, gating=False, reason=f"reported only, the parent differs here: {found}")


def _against_parent(case: AccuracyCase, run: RunLike, parent: RunLike | None) -> AccuracyCase:
    """No reference: the parent's output is all there is to compare with."""
    assert run.outputs is not None
    if parent is None or parent.outputs is None or parent is run:
        return replace(case, reason=NO_REFERENCE)
    form = form_differs(run.outputs, parent.outputs)
    if form is not None:
        return _fail(case, f"differs from the parent: {form}")
    if case.bit_equal_to_parent:
        return replace(case, reason=f"equal to the parent; {NO_REFERENCE}")
    error = ErrorMeasure(0.0, 0.0)
    for got, other in zip(run.outputs, parent.outputs, strict=True):
        positions = nonfinite_differs(got, other, other)
        if positions is not None and case.distribution == NONFINITE:
            # the parent may be the one that loses a NaN
            reason = f"reported only, {NO_REFERENCE}; apart from the parent, {positions}"
            return replace(case, gating=False, reason=reason)
        if positions is not None and nothing_finite(other.data):
            reason = f"the parent gives nothing but NaN or Inf here; {NO_REFERENCE}"
            return replace(case, reason=reason)
        if positions is not None:
            return _fail(case, f"differs from the parent: {positions}")
        error = max(error, distance(got, other), key=lambda item: item.relative_l2)
    case = replace(case, error=error)
    # Terms that cancel leave little but rounding, and nothing here tells how much.
    limit = WRONG_L2 if case.distribution in CANCELLING else APART_FROM_PARENT
    if error.relative_l2 > limit:
        return _fail(case, f"differs from the parent: relative error {error.relative_l2:.2g}")
    apart = f"{error.relative_l2:.2g} away from the parent"
    return replace(case, reason=f"{apart}; {NO_REFERENCE}")


def conclude(cases: Sequence[AccuracyCase]) -> CheckResult:
    """One result of all cases. It passes when every gating case passes and each config has one."""
    if not cases:
        return CheckResult(CHECK, Status.NOT_VERIFIED, notes=(NO_SHAPES,))
    failed = [case for case in cases if case.gating and case.status is Status.FAIL]
    open_cases = [case for case in cases if case.gating and case.status is Status.NOT_VERIFIED]
    passed = {case.config for case in cases if case.gating and case.status is Status.PASS}
    without = [name for name in dict.fromkeys(case.config for case in cases) if name not in passed]
    status = Status.PASS
    if failed:
        status = Status.FAIL
    elif open_cases or without:
        status = Status.NOT_VERIFIED
    notes = [f"{_where(case)}: {case.reason}" for case in open_cases]
    notes += [f"{_where(case)}: {case.reason}" for case in cases if not case.gating]
    notes += [note for case in cases for note in case.notes if not note.startswith(PARENT_BREAKS)]
    breaking = [n for case in cases for n in case.notes if n.startswith(PARENT_BREAKS)]
    notes += breaking[:1]  # the numbers differ from case to case, the finding does not
    return CheckResult(
        CHECK,
        status,
        violations=tuple(_violation(case) for case in failed),
        notes=tuple(dict.fromkeys(notes)),
    )


def _where(case: AccuracyCase) -> str:
    return f"{case.config}, {case.distribution} inputs"


def _violation(case: AccuracyCase) -> Violation:
    return Violation(
        rule=CHECK,
        line=None,
        expected=f"the reference's output ({_where(case)})",
        found=case.reason or "a different output",
    )
