"""Edits that the rules neither ask for nor forbid: what their outputs must keep to stay.

They pass where every output is bit-equal to the parent's, or no less exact on any kind of data
(docs/precision.md). `strict` and `bit_equal` ask for more.
"""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.types.edit import Edit
from warpwright.types.verdict import AccuracyCase, CheckResult, EditLimits, Status, Violation

CHECK = "beyond stage"
RULE = "stage.beyond"


def check_beyond(
    edits: Sequence[Edit], cases: Sequence[AccuracyCase], limits: EditLimits
) -> CheckResult | None:
    """The verdict on edits beyond the stage, by the cases of the accuracy check; None: no edits.

    Without a case that compares with the parent it is "not verified".
    """
    if not edits:
        return None
    if limits.strict:
        return _result([_not_asked_for(edit) for edit in edits])
    gating = [case for case in cases if case.gating]
    if not gating:
        return _open(edits, "no outputs were compared with the parent's")
    if limits.bit_equal:
        return _bit_equal(edits, gating)
    broken = [
        Violation(RULE, _line(edits), f"outputs no less exact than the parent's ({_where(case)})",
                  case.less_exact)
        for case in gating
        if not case.bit_equal_to_parent and case.less_exact is not None
    ]  # fmt: skip
    if broken:
        return _result(broken)
    unknown = [case for case in gating if not _compared(case)]
    if unknown:
        return _open(edits, f"{_where(unknown[0])}: {unknown[0].reason or 'nothing to compare'}")
    return CheckResult(CHECK, Status.PASS, notes=(_passed(edits, gating),))


def _bit_equal(edits: Sequence[Edit], gating: Sequence[AccuracyCase]) -> CheckResult:
    expected = "outputs equal to the parent's bit for bit"
    broken = [
        Violation(RULE, _line(edits), f"{expected} ({_where(case)})", "other bits")
        for case in gating
        if case.bit_equal_to_parent is False
    ]
    if broken:
        return _result(broken)
    unknown = [case for case in gating if case.bit_equal_to_parent is None]
    if unknown:
        return _open(edits, f"{_where(unknown[0])}: {unknown[0].reason or 'nothing to compare'}")
    return CheckResult(CHECK, Status.PASS, notes=(_passed(edits, gating),))


def _compared(case: AccuracyCase) -> bool:
    """Whether the case tells that the output is no less exact than the parent's."""
    if case.bit_equal_to_parent:
        return True
    known = case.error is not None and case.parent_error is not None
    return known and case.status is Status.PASS


def _passed(edits: Sequence[Edit], gating: Sequence[AccuracyCase]) -> str:
    count = f"{len(edits)} edit{'s' if len(edits) > 1 else ''} that no rule asks for or forbids"
    if all(case.bit_equal_to_parent for case in gating):
        return f"{count}: outputs equal to the parent's bit for bit in {len(gating)} cases"
    return f"{count}: outputs no less exact than the parent's in {len(gating)} cases"


def _not_asked_for(edit: Edit) -> Violation:
    expected = "no edit that the rules do not ask for (strict)"
    return Violation(RULE, edit.line, expected, f"{edit.kind} in {edit.subject}")


def _result(violations: Sequence[Violation]) -> CheckResult:
    return CheckResult(CHECK, Status.FAIL, tuple(dict.fromkeys(violations)))


def _open(edits: Sequence[Edit], why: str) -> CheckResult:
    listed = ", ".join(sorted({str(edit.kind) for edit in edits}))
    return CheckResult(CHECK, Status.NOT_VERIFIED, notes=(f"not verified: {listed}: {why}",))


def _line(edits: Sequence[Edit]) -> int | None:
    return next((edit.line for edit in edits if edit.line is not None), None)


def _where(case: AccuracyCase) -> str:
    return f"{case.config}, {case.distribution} inputs, {', '.join(case.inputs)}"
