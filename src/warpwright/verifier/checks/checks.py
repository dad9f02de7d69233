"""The checks that read text, together; `verifier.verify` adds those that run something."""

from __future__ import annotations

from warpwright.types.verdict import Status, Verdict
from warpwright.verifier.checks.format import check_format
from warpwright.verifier.checks.integrity import check_integrity
from warpwright.verifier.checks.names import check_names
from warpwright.verifier.rules.checkers import check_reading
from warpwright.verifier.rules.finding import RuleReading
from warpwright.verifier.rules.rule_context import RuleContext
from warpwright.verifier.rules.semantics import lost_work
from warpwright.verifier.rules.stage_scope import classify_edits


def judge(context: RuleContext) -> Verdict:
    """Format, names, rules and integrity of a candidate against its parent, in this order.

    Nothing is executed and nothing is measured; accuracy is not among the results.
    """
    parent, child, output = context.parent, context.child, context.output_rules
    reading = RuleReading.of(context)
    lost = lost_work(reading)
    rules = check_reading(reading, lost)
    losing = {name for name, found in lost.items() if found.violations}
    _, beyond, forbidden = classify_edits(context.stage, context.edits, losing)
    if rules.status is not Status.FAIL:
        # Forbidden by its kind alone, but reading both programs found it to be the same grid
        # written otherwise: it may stay if the outputs are no less exact.
        beyond = tuple(edit for edit in context.edits if edit in {*beyond, *forbidden})
    return Verdict(
        results=(
            check_format(parent, child, output),
            check_names(parent, child, output),
            rules,
            check_integrity(parent, child, output, context.child_trace, context.parent_trace),
        ),
        edits=context.edits,
        beyond_stage=beyond,
    )
