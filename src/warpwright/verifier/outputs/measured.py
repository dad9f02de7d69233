"""Is an output right, from numbers that the reference process measured? The policy is the same.

`verifier.outputs.interpreted` judges arrays of small inputs; this judges full-size outputs, of
which only numbers reach the main process. Bounds, order of the checks and wording are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from warpwright.types.accuracy_numbers import (
    CheckNumbers,
    OutputNumbers,
    ReferenceNumbers,
    ReferenceOutput,
)
from warpwright.types.verdict import AccuracyCase, ErrorMeasure, Status
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.compare_outputs import (
    NO_REFERENCE,
    NONFINITE,
    WRONG_L2,
    apart,
    by_degenerate,
    by_parameters,
    judged_case,
    nonfinite_apart,
)
from warpwright.verifier.outputs.comparison import (
    REDRAWN,
    degenerate_reason,
    judge_errors,
    nonfinite_text,
)
from warpwright.verifier.outputs.run_behaviour import launched_all, unasked_change


def judge_measured(
    candidate: Sequence[CheckNumbers],
    parent: Sequence[CheckNumbers],
    references: Sequence[ReferenceNumbers],
    *,
    required_kernels: Iterable[str],
) -> tuple[AccuracyCase, ...]:
    """A verdict for each run of the candidate, as `accuracy.judge_outputs` makes them of arrays.

    Runs of cases that have no reference entry are left out. Pass the parent's runs as `candidate`
    too to judge the parent itself.
    """
    by_name = {reference.name: reference for reference in references}
    degenerate = degenerate_numbers(references)
    required = tuple(required_kernels)
    others = {run.case: run for run in parent}
    return tuple(
        _judge(run, others.get(run.case), by_name[run.case], required, degenerate.get(run.case))
        for run in candidate
        if run.case in by_name
    )


def is_wrong(run: CheckNumbers, reference: ReferenceNumbers) -> bool:
    """Whether a run's output is not what the reference says, by more than imprecision explains."""
    if run.outputs is None or _form_differs(run.outputs, reference.outputs) is not None:
        return True
    return any(
        output.nonfinite is not None or not _error(output).relative_l2 <= WRONG_L2
        for output in run.outputs
    )


def degenerate_numbers(references: Sequence[ReferenceNumbers]) -> dict[str, str]:
    """Cases whose reference cannot tell right from wrong, each with the reason."""
    made = [reference for reference in references if reference.outputs]
    reasons = {ref.name: reason for ref in made if (reason := _degenerate(ref))}
    redrawn = [reference for reference in made if reference.name in REDRAWN]
    if redrawn and all(reference.like_first for reference in redrawn):
        for reference in made:
            reasons.setdefault(reference.name, "the output does not depend on the input")
    return reasons


def _degenerate(reference: ReferenceNumbers) -> str | None:
    found = [
        degenerate_reason(
            finite=output.finite,
            largest=output.largest,
            constant=output.constant,
            eager_l2=0.0 if exact else output.policy_error.relative_l2,
            conditioning=0.0 if exact else output.conditioning,
        )
        for output in reference.outputs
        for exact in (precision.is_exact(output.dtype),)
    ]
    return found[0] if all(found) else None


def _judge(
    run: CheckNumbers,
    parent: CheckNumbers | None,
    reference: ReferenceNumbers,
    required: Sequence[str],
    degenerate: str | None,
) -> AccuracyCase:
    case = AccuracyCase(
        config=run.label,
        inputs=tuple(map(str, reference.inputs)),
        distribution=reference.name,
        status=Status.NOT_VERIFIED,
        bit_equal_to_parent=run.bit_equal_to_parent,
        launched=tuple(run.launches),
        notes=(run.parameters,) if run.parameters else (),
    )
    if reference.skipped is not None:
        return replace(case, reason=reference.skipped, gating=False)
    stopped = (
        _ended(case, run, parent)
        or launched_all(case, run.launches, required)
        or _inputs(case, run, parent, reference)
    )
    if stopped is not None:
        return stopped
    if degenerate is not None:
        return by_degenerate(
            case,
            _against_reference(case, run, parent, reference),
            degenerate,
            misplaced=_misplaced(run, reference),
            parent_misplaced=_misplaced(parent, reference),
        )
    if not reference.outputs:
        return _against_parent(case, run)
    judged = _against_reference(case, run, parent, reference)
    return by_parameters(judged, run, partial(_against_parent, case, run))


def _fail(case: AccuracyCase, reason: str) -> AccuracyCase:
    return replace(case, status=Status.FAIL, reason=reason)


def _ended(
    case: AccuracyCase, run: CheckNumbers, parent: CheckNumbers | None
) -> AccuracyCase | None:
    if run.outputs is not None:
        return None
    reason = run.reason or run.outcome
    if run.outcome == "skipped":
        return replace(case, reason=reason, gating=False)
    if run.outcome != "failed":
        return replace(case, reason=reason)
    if parent is not None and parent is not run and parent.outputs is None:
        return replace(case, reason=f"the parent fails here too: {reason}", gating=False)
    return _fail(case, reason)


def _inputs(
    case: AccuracyCase,
    run: CheckNumbers,
    parent: CheckNumbers | None,
    reference: ReferenceNumbers,
) -> AccuracyCase | None:
    theirs = () if parent is None or parent is run else parent.changed_inputs
    return unasked_change(case, run.changed_inputs, (*reference.changes_inputs, *theirs))


def _against_reference(
    case: AccuracyCase,
    run: CheckNumbers,
    parent: CheckNumbers | None,
    reference: ReferenceNumbers,
) -> AccuracyCase:
    assert run.outputs is not None  # `_ended` stops runs without outputs
    form = _form_differs(run.outputs, reference.outputs)
    if form is not None:
        return _fail(case, form)
    others = _comparable(parent, reference)
    if reference.name == NONFINITE and (
        others is None or any(other.nonfinite is not None for other in others)
    ):
        return _ungated(case, run.outputs)
    judged = [
        judge_errors(
            got.name,
            right.dtype,
            error=_error(got),
            parent_error=None if others is None else others[index].error,
            policy_error=right.policy_error,
            summands=reference.summands,
            conditioning=right.conditioning,
            nonfinite=_nonfinite(got),
        )
        for index, (got, right) in enumerate(zip(run.outputs, reference.outputs, strict=True))
    ]
    return judged_case(case, judged)


def _misplaced(run: CheckNumbers | None, reference: ReferenceNumbers) -> bool:
    """Whether the outputs have another form, or NaN and Inf in other places; so has no output."""
    outputs = _comparable(run, reference)
    return outputs is None or any(output.nonfinite is not None for output in outputs)


def _error(output: OutputNumbers) -> ErrorMeasure:
    assert output.error is not None  # an output of the right form is measured
    return output.error


def _comparable(
    run: CheckNumbers | None, reference: ReferenceNumbers
) -> Sequence[OutputNumbers] | None:
    """A run's outputs, when there are any and they have the right form."""
    if run is None or run.outputs is None:
        return None
    return run.outputs if _form_differs(run.outputs, reference.outputs) is None else None


def _form_differs(got: Sequence[OutputNumbers], wanted: Sequence[ReferenceOutput]) -> str | None:
    """Number, places, dtypes and shapes of the outputs must agree exactly."""
    if [item.name for item in got] != [item.name for item in wanted]:
        names = ", ".join(item.name for item in got) or "nothing"
        return f"it returns {names} instead of {', '.join(item.name for item in wanted)}"
    for item, right in zip(got, wanted, strict=True):
        if item.dtype != right.dtype:
            return f"{item.name} is {item.dtype} instead of {right.dtype}"
        if item.shape != right.shape:
            return f"{item.name} has shape {item.shape} instead of {right.shape}"
    return None


def _nonfinite(output: OutputNumbers) -> str | None:
    wrong = output.nonfinite
    return (
        None if wrong is None else nonfinite_text(output.name, wrong.count, wrong.size, wrong.place)
    )


def _ungated(case: AccuracyCase, outputs: Sequence[OutputNumbers]) -> AccuracyCase:
    """NaN and Inf among the inputs, where the parent itself does not follow the operator."""
    differs = [reason for output in outputs if (reason := _nonfinite(output))]
    found = differs[0] if differs else "NaN and Inf stand where the reference has them"
    return replace(case, gating=False, reason=f"reported only, the parent differs here: {found}")


def _against_parent(
    case: AccuracyCase, run: CheckNumbers, unverified: str = NO_REFERENCE
) -> AccuracyCase:
    """The distance from the parent's output is all there is. `unverified`: why, in words."""
    if run.apart is None and run.bit_equal_to_parent is False:
        return _fail(case, "differs from the parent: outputs of another form")
    if run.apart is None:
        return replace(case, reason=unverified)
    if run.bit_equal_to_parent:
        return replace(case, error=run.apart, reason=f"equal to the parent; {unverified}")
    if (wrong := run.apart_nonfinite) is not None:
        text = nonfinite_text("output", wrong.count, wrong.size, wrong.place)
        return nonfinite_apart(case, text, unverified, parent_finite=run.parent_finite)
    return apart(case, run.apart, unverified)
